package userdata

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"strings"

	"github.com/joinery/joinery/api/v1alpha1"
)

// maxParts bounds the work for a MIME archive; cloud-init users have a handful.
const maxParts = 64

// isMIME accepts the headers in any order and case, as mail programs do.
func isMIME(text []byte) bool {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	name, _, _ := strings.Cut(string(line), ":")
	switch strings.ToLower(name) {
	case "mime-version", "content-type", "content-transfer-encoding", "content-disposition":
		return true
	}
	return false
}

func fromMIME(text []byte) (*v1alpha1.NodeConfig, error) {
	message, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		return nil, invalid("malformed MIME header: %v", err)
	}
	kind, params, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil {
		return nil, invalid("malformed MIME Content-Type: %v", err)
	}
	if !strings.HasPrefix(kind, "multipart/") {
		if kind != ContentType {
			return nil, ErrAbsent
		}
		body, err := content(textproto.MIMEHeader(message.Header), message.Body)
		if err != nil {
			return nil, err
		}
		return decode(body)
	}
	return fromParts(multipart.NewReader(message.Body, params["boundary"]))
}

// fromParts wants exactly one part of our type: two would have to be merged,
// and nobody could tell by which rule.
func fromParts(r *multipart.Reader) (*v1alpha1.NodeConfig, error) {
	var found []byte
	have := false
	for range maxParts {
		part, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			if !have {
				return nil, ErrAbsent
			}
			return decode(found)
		}
		if err != nil {
			return nil, invalid("malformed MIME archive: %v", err)
		}
		if kind, _, err := mime.ParseMediaType(part.Header.Get("Content-Type")); err != nil || kind != ContentType {
			continue
		}
		if have {
			return nil, invalid("several parts of type %s: expected one", ContentType)
		}
		if found, err = content(part.Header, part); err != nil {
			return nil, err
		}
		have = true
	}
	return nil, invalid("more than %d MIME parts", maxParts)
}

func content(h textproto.MIMEHeader, body io.Reader) ([]byte, error) {
	switch encoding := strings.ToLower(strings.TrimSpace(h.Get("Content-Transfer-Encoding"))); encoding {
	case "", "7bit", "8bit", "binary":
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	default:
		return nil, invalid("MIME part of type %s: unknown Content-Transfer-Encoding %q", ContentType, encoding)
	}
	text, err := io.ReadAll(io.LimitReader(body, maxUnpacked+1))
	if err != nil {
		return nil, invalid("MIME part of type %s: %v", ContentType, err)
	}
	return bytes.TrimSpace(text), nil
}

package awssim

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/http"
	"time"
)

// node is one XML element of an answer. A node without a name is left out,
// which is how absent optional members are written.
type node struct {
	name string
	text string
	kids []node
}

// el makes an element from a string, number, bool, time or []node. An empty
// string, a zero time or nil makes no element.
func el(name string, value any) node {
	switch v := value.(type) {
	case nil:
		return node{}
	case string:
		if v == "" {
			return node{}
		}
		return node{name: name, text: v}
	case time.Time:
		if v.IsZero() {
			return node{}
		}
		return node{name: name, text: stamp(v)}
	case []node:
		return node{name: name, kids: v}
	default:
		return node{name: name, text: fmt.Sprint(v)}
	}
}

// elText makes an element even for an empty string.
func elText(name, text string) node { return node{name: name, text: text} }

// stamp is how the XML services write times.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// elList makes a list: EC2 names its elements item, the others member.
func elList[T any](name, element string, items []T, value func(T) any) node {
	n := node{name: name}
	for _, item := range items {
		e := el(element, value(item))
		if e.name == "" {
			e = node{name: element}
		}
		n.kids = append(n.kids, e)
	}
	return n
}

func (n node) write(b *bytes.Buffer) {
	if n.name == "" {
		return
	}
	b.WriteString("<" + n.name + ">")
	if n.text != "" {
		// Writing to a Buffer cannot fail.
		_ = xml.EscapeText(b, []byte(n.text))
	}
	for _, k := range n.kids {
		k.write(b)
	}
	b.WriteString("</" + n.name + ">")
}

func encodeXML(req *request, result []node, e *apiError) *answer {
	a := &answer{status: http.StatusOK, contentType: "text/xml;charset=UTF-8", id: req.id}
	var b bytes.Buffer
	b.WriteString(xml.Header)
	switch {
	case e != nil && req.service == "ec2":
		a.status = e.status
		el("Response", []node{
			el("Errors", []node{el("Error", []node{elText("Code", e.code), elText("Message", e.message)})}),
			el("RequestID", req.id),
		}).write(&b)
	case e != nil:
		a.status = e.status
		kind := "Sender"
		if e.status >= http.StatusInternalServerError {
			kind = "Receiver"
		}
		writeRoot(&b, req, "ErrorResponse", []node{
			el("Error", []node{el("Type", kind), elText("Code", e.code), elText("Message", e.message)}),
			el("RequestId", req.id),
		})
	case req.service == "ec2":
		writeRoot(&b, req, req.action+"Response", append([]node{el("requestId", req.id)}, result...))
	default:
		writeRoot(&b, req, req.action+"Response", []node{
			el(req.action+"Result", result),
			el("ResponseMetadata", []node{el("RequestId", req.id)}),
		})
	}
	a.body = b.Bytes()
	return a
}

func writeRoot(b *bytes.Buffer, req *request, name string, kids []node) {
	space := map[string]string{
		"ec2":         "http://ec2.amazonaws.com/doc/2016-11-15/",
		"autoscaling": "http://autoscaling.amazonaws.com/doc/2011-01-01/",
		"iam":         "https://iam.amazonaws.com/doc/2010-05-08/",
		"sts":         "https://sts.amazonaws.com/doc/2011-06-15/",
	}[req.service]
	b.WriteString("<" + name + ` xmlns="` + space + `">`)
	for _, k := range kids {
		k.write(b)
	}
	b.WriteString("</" + name + ">\n")
}

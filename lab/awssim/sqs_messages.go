package awssim

import (
	"crypto/md5"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"
)

// md5Hex is the checksum of a message by which clients see that it is whole.
func md5Hex(body string) string {
	sum := md5.Sum([]byte(body))
	return hex.EncodeToString(sum[:])
}

// allowedText reports that a message holds only characters that SQS takes.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
func allowedText(body string) bool {
	return !strings.ContainsFunc(body, func(r rune) bool {
		return r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
	})
}

func (w *World) sendMessage(req *request) (any, error) {
	in, err := decode[struct{ QueueUrl, MessageBody string }](req)
	if err != nil {
		return nil, err
	}
	req.log = map[string]string{"QueueUrl": in.QueueUrl}
	q, err := w.queueLocked(in.QueueUrl)
	switch {
	case err != nil:
		return nil, err
	case in.MessageBody == "":
		return nil, sqsError("MissingParameter", "The request must contain the parameter MessageBody.")
	case len(in.MessageBody) > maxMessage:
		return nil, sqsError("InvalidParameterValue", "One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", maxMessage)
	case !allowedText(in.MessageBody):
		return nil, sqsError("InvalidMessageContents", "Invalid characters found in the message body.")
	}
	m := w.sendLocked(q, in.MessageBody)
	return map[string]any{"MessageId": m.id, "MD5OfMessageBody": md5Hex(m.body)}, nil
}

// sendLocked puts a message into a queue and wakes who waits for one.
func (w *World) sendLocked(q *queue, body string) *message {
	now := time.Now()
	m := &message{id: w.uuidLocked("message"), body: body, sent: now, visible: now}
	q.messages = append(q.messages, m)
	close(q.arrived)
	q.arrived = make(chan struct{})
	return m
}

type receiveInput struct {
	QueueUrl                                                string
	MaxNumberOfMessages, VisibilityTimeout, WaitTimeSeconds *int
	AttributeNames, MessageSystemAttributeNames             []string
}

// receiveMessage answers with what can be received, as soon as there is
// anything or the time to wait for it has passed.
func (w *World) receiveMessage(req *request) (any, error) {
	in, err := decode[receiveInput](req)
	if err != nil {
		return nil, err
	}
	req.log = map[string]string{"QueueUrl": in.QueueUrl}
	q, err := w.queueLocked(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	most, hide, poll := 1, q.visibility, q.poll
	if in.MaxNumberOfMessages != nil {
		if most = *in.MaxNumberOfMessages; most < 1 || most > maxBatch {
			return nil, outOfRange("MaxNumberOfMessages", most, 1, maxBatch)
		}
	}
	for _, s := range []struct {
		name string
		n    *int
		most int
		into *time.Duration
	}{{"VisibilityTimeout", in.VisibilityTimeout, maxVisibility, &hide}, {"WaitTimeSeconds", in.WaitTimeSeconds, maxPoll, &poll}} {
		if s.n == nil {
			continue
		}
		if *s.n < 0 || *s.n > s.most {
			return nil, outOfRange(s.name, *s.n, 0, s.most)
		}
		*s.into = time.Duration(*s.n) * time.Second
	}
	attributes := slices.Concat(in.AttributeNames, in.MessageSystemAttributeNames)
	for end := time.Now().Add(poll); ; {
		found := w.takeLocked(q, most, hide)
		if len(found) == 0 && w.awaitLocked(req, q, end) {
			continue
		}
		return receivedAnswer(found, attributes)
	}
}

// awaitLocked lets go of the lock until a message may be there. It reports
// whether to look again: not when the time is over or the client has left.
func (w *World) awaitLocked(req *request, q *queue, end time.Time) bool {
	wait := time.Until(end)
	if wait <= 0 || w.closed {
		return false
	}
	for _, m := range q.messages {
		wait = min(wait, max(0, time.Until(m.visible)))
	}
	timer, arrived := time.NewTimer(wait), q.arrived
	defer timer.Stop()
	w.mu.Unlock()
	defer w.mu.Lock()
	select {
	case <-timer.C:
		return true
	case <-arrived:
		return true
	case <-req.left:
	case <-w.ctx.Done():
	}
	return false
}

// takeLocked hides what is received for a while and gives it new receipts.
func (w *World) takeLocked(q *queue, most int, hide time.Duration) []*message {
	now, size := time.Now(), 0
	q.expire(now)
	var out []*message
	for _, m := range q.messages {
		if len(out) == most || m.visible.After(now) || len(out) > 0 && size+len(m.body) > maxMessage {
			continue
		}
		size += len(m.body)
		if m.received++; m.received == 1 {
			m.first = now
		}
		m.visible, m.receipt = now.Add(hide), w.digestLocked("receipt")
		q.receipts[m.receipt] = m
		out = append(out, m)
	}
	return out
}

func receivedAnswer(found []*message, attributes []string) (any, error) {
	if len(found) == 0 {
		return nil, nil
	}
	var out []any
	for _, m := range found {
		all := map[string]string{
			"SentTimestamp":                    strconv.FormatInt(m.sent.UnixMilli(), 10),
			"ApproximateFirstReceiveTimestamp": strconv.FormatInt(m.first.UnixMilli(), 10),
			"ApproximateReceiveCount":          itoa(m.received),
		}
		shown := map[string]string{}
		for _, name := range attributes {
			value, known := all[name]
			switch {
			case name == "All":
				shown = all
			case !known:
				return nil, sqsError("InvalidAttributeName", "Unknown Attribute %s.", name)
			default:
				shown[name] = value
			}
		}
		view := map[string]any{"MessageId": m.id, "ReceiptHandle": m.receipt, "Body": m.body, "MD5OfBody": md5Hex(m.body)}
		if len(shown) > 0 {
			view["Attributes"] = shown
		}
		out = append(out, view)
	}
	return map[string]any{"Messages": out}, nil
}

// deleteMessage deletes by the latest receipt. An earlier one of the same
// message is taken, and deletes nothing.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html
func (w *World) deleteMessage(req *request) (any, error) {
	in, err := decode[struct{ QueueUrl, ReceiptHandle string }](req)
	if err != nil {
		return nil, err
	}
	req.log = map[string]string{"QueueUrl": in.QueueUrl}
	q, err := w.queueLocked(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	m := q.receipts[in.ReceiptHandle]
	if m == nil {
		return nil, sqsError("ReceiptHandleIsInvalid", "The input receipt handle is invalid.")
	}
	if m.receipt == in.ReceiptHandle {
		q.messages = slices.DeleteFunc(q.messages, func(o *message) bool { return o == m })
	}
	return nil, nil
}

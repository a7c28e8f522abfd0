package awssim

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of queues and their messages.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
const (
	maxMessage    = 1 << 20 // bytes; those of one answer together, too
	maxBatch      = 10      // messages in one answer
	maxPoll       = 20      // seconds
	maxVisibility = 43200   // seconds
	minRetention  = 60      // seconds
	maxRetention  = 1209600 // seconds
)

func sqsActions() map[string]action {
	return map[string]action{
		"CreateQueue":        {run: (*World).createQueue},
		"GetQueueUrl":        {run: (*World).getQueueURL},
		"GetQueueAttributes": {run: (*World).getQueueAttributes},
		"SendMessage":        {run: (*World).sendMessage},
		"ReceiveMessage":     {run: (*World).receiveMessage},
		"DeleteMessage":      {run: (*World).deleteMessage},
	}
}

// queue is a standard queue. Its messages are kept in the order in which they
// were sent, which AWS does not promise.
type queue struct {
	name       string
	created    time.Time
	visibility time.Duration // how long a message that was received stays hidden
	retention  time.Duration
	poll       time.Duration // how long to wait for a message when a request does not say
	messages   []*message
	receipts   map[string]*message // every receipt handle that was given out
	arrived    chan struct{}       // closed when a message is sent; made anew then
}

// message is in a queue until it is deleted or too old.
type message struct {
	id, body string
	sent     time.Time
	first    time.Time // when it was first received
	visible  time.Time // from when on it can be received
	received int       // how often it was
	receipt  string    // the latest receipt handle
}

func (q *queue) arn(w *World) string { return w.arn("sqs", q.name) }

// queueURL is how SQS names a queue of an account.
func (w *World) queueURL(name string) string {
	return "https://sqs." + w.Region + "." + w.dnsSuffix() + "/" + w.AccountID + "/" + name
}

var (
	queueName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)
	queuePath = regexp.MustCompile(`^https?://[^/?#]+/([0-9]{12})/([A-Za-z0-9_-]{1,80})$`)
)

// splitQueueURL takes a queue's URL apart. Its host does not matter: the request
// has found its way here.
func splitQueueURL(url string) (account, name string, err error) {
	parts := queuePath.FindStringSubmatch(url)
	if parts == nil {
		return "", "", sqsError("InvalidAddress", "The address %s is not valid for this endpoint.", url)
	}
	return parts[1], parts[2], nil
}

func (w *World) queueLocked(url string) (*queue, error) {
	account, name, err := splitQueueURL(url)
	if err != nil {
		return nil, err
	}
	if q := w.queues[name]; q != nil && account == w.AccountID {
		return q, nil
	}
	return nil, noSuchQueue()
}

// CreateQueue makes an SQS queue, as an operator with the defaults would, and
// returns its URL. One of that name that is there stays.
func (w *World) CreateQueue(name string) (url string) {
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.queues[name] == nil {
		w.queues[name] = w.newQueue(name)
	}
	return w.queueURL(name)
}

// DeleteQueue deletes a queue with all that is in it.
func (w *World) DeleteQueue(name string) {
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.queues, name)
}

func (w *World) newQueue(name string) *queue {
	return &queue{
		name: name, created: time.Now(), visibility: 30 * time.Second, retention: 4 * 24 * time.Hour,
		receipts: map[string]*message{}, arrived: make(chan struct{}),
	}
}

// settings are the attributes that can be set, with their bounds in seconds.
func (q *queue) settings() map[string]struct {
	value     *time.Duration
	low, high int
} {
	type setting = struct {
		value     *time.Duration
		low, high int
	}
	return map[string]setting{
		"VisibilityTimeout":             {&q.visibility, 0, maxVisibility},
		"MessageRetentionPeriod":        {&q.retention, minRetention, maxRetention},
		"ReceiveMessageWaitTimeSeconds": {&q.poll, 0, maxPoll},
	}
}

// createQueue makes a queue. It says the same again for the same attributes, and
// refuses others for a name that there is.
func (w *World) createQueue(req *request) (any, error) {
	in, err := decode[struct {
		QueueName  string
		Attributes map[string]string
	}](req)
	if err != nil {
		return nil, err
	}
	req.log = map[string]string{"QueueName": in.QueueName}
	if !queueName.MatchString(in.QueueName) {
		return nil, sqsError("InvalidParameterValue", "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
	}
	q := w.newQueue(in.QueueName)
	settings := q.settings()
	for name, text := range in.Attributes {
		s, known := settings[name]
		if !known {
			return nil, notSimulated("sqs", req.action, "Attributes."+name)
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < s.low || n > s.high {
			return nil, sqsError("InvalidAttributeValue", "Invalid value for the parameter %s.", name)
		}
		*s.value = time.Duration(n) * time.Second
	}
	if old := w.queues[q.name]; old == nil {
		w.queues[q.name] = q
	} else {
		for name, s := range old.settings() {
			if _, given := in.Attributes[name]; given && *s.value != *settings[name].value {
				return nil, sqsError("QueueNameExists", "A queue already exists with the same name and a different value for attribute %s", name)
			}
		}
	}
	return map[string]any{"QueueUrl": w.queueURL(q.name)}, nil
}

func (w *World) getQueueURL(req *request) (any, error) {
	in, err := decode[struct{ QueueName, QueueOwnerAWSAccountId string }](req)
	if err != nil {
		return nil, err
	}
	req.log = map[string]string{"QueueName": in.QueueName}
	if w.queues[in.QueueName] == nil || in.QueueOwnerAWSAccountId != "" && in.QueueOwnerAWSAccountId != w.AccountID {
		return nil, noSuchQueue()
	}
	return map[string]any{"QueueUrl": w.queueURL(in.QueueName)}, nil
}

func (w *World) getQueueAttributes(req *request) (any, error) {
	in, err := decode[struct {
		QueueUrl       string
		AttributeNames []string
	}](req)
	if err != nil {
		return nil, err
	}
	req.log = map[string]string{"QueueUrl": in.QueueUrl}
	q, err := w.queueLocked(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	all := q.attributes(w)
	shown := map[string]string{}
	for _, name := range in.AttributeNames {
		value, known := all[name]
		switch {
		case name == "All":
			return map[string]any{"Attributes": all}, nil
		case !known:
			return nil, sqsError("InvalidAttributeName", "Unknown Attribute %s.", name)
		}
		shown[name] = value
	}
	return map[string]any{"Attributes": shown}, nil
}

func (q *queue) attributes(w *World) map[string]string {
	q.expire(time.Now())
	hidden := 0
	for _, m := range q.messages {
		if m.visible.After(time.Now()) {
			hidden++
		}
	}
	out := map[string]string{
		"QueueArn":                              q.arn(w),
		"CreatedTimestamp":                      strconv.FormatInt(q.created.Unix(), 10),
		"ApproximateNumberOfMessages":           itoa(len(q.messages) - hidden),
		"ApproximateNumberOfMessagesNotVisible": itoa(hidden),
	}
	for name, s := range q.settings() {
		out[name] = itoa(int(s.value.Seconds()))
	}
	return out
}

// expire drops what was sent too long ago.
func (q *queue) expire(now time.Time) {
	q.messages = slices.DeleteFunc(q.messages, func(m *message) bool { return now.Sub(m.sent) >= q.retention })
}

// queueAccessesLocked: everything is on the one queue, which need not exist.
func (w *World) queueAccessesLocked(req *request) ([]access, error) {
	in, err := peek[struct{ QueueUrl, QueueName string }](req)
	if err != nil {
		return nil, err
	}
	account, name := w.AccountID, in.QueueName
	if in.QueueUrl != "" {
		if account, name, err = splitQueueURL(in.QueueUrl); err != nil {
			return nil, err
		}
	}
	resource := strings.Replace(w.arn("sqs", name), ":"+w.AccountID+":", ":"+account+":", 1)
	return []access{on(req, resource, nil)}, nil
}

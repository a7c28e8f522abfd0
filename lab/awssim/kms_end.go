package awssim

import "time"

// deleteAlias takes the name away from a key.
func (w *World) deleteAlias(req *request) (any, error) {
	in, err := decode[struct{ AliasName string }](req)
	if err != nil {
		return nil, err
	}
	req.log = map[string]string{"AliasName": in.AliasName}
	if w.aliases[in.AliasName] == "" {
		return nil, fail("NotFoundException", "Alias %s is not found.", w.arn("kms", in.AliasName))
	}
	delete(w.aliases, in.AliasName)
	return nil, nil
}

// scheduleKeyDeletion is done at once: nothing that such a key encrypted can be read any
// more, as in AWS from the call on.
// https://docs.aws.amazon.com/kms/latest/APIReference/API_ScheduleKeyDeletion.html
func (w *World) scheduleKeyDeletion(req *request) (any, error) {
	in, err := decode[struct {
		KeyId               string
		PendingWindowInDays int
	}](req)
	if err != nil {
		return nil, err
	}
	k, err := w.findKeyLocked(in.KeyId)
	if err != nil {
		return nil, err
	}
	setDefault(&in.PendingWindowInDays, 30)
	if in.PendingWindowInDays < 7 || in.PendingWindowInDays > 30 {
		return nil, invalid("kms", "PendingWindowInDays must be between 7 and 30 (inclusive)")
	}
	delete(w.keys, k.id)
	return map[string]any{
		"KeyId": k.arn, "KeyState": "PendingDeletion", "PendingWindowInDays": in.PendingWindowInDays,
		"DeletionDate": epoch(time.Now().AddDate(0, 0, in.PendingWindowInDays)),
	}, nil
}

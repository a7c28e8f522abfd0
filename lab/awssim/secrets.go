package awssim

// Secrets returns what nobody may read in a log, an event or an error: the secret
// keys and the tokens of all sessions that were ever made.
func (w *World) Secrets() []string {
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, s := range w.sessions {
		out = append(out, s.secret, s.token)
	}
	return out
}

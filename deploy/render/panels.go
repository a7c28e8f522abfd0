package main

// dashboard is Joinery's: first whether nodes can join, then each service's own work.
func dashboard() board {
	return board{
		uid: "joinery-controller", title: "Joinery", description: "joinery-controller of one cluster: tokens, joins, lifecycle hooks, the autoscaler. docs/runbooks says what to do about each alert.",
		rows: []row{
			{"Can nodes join?", overview()},
			{"Tokens", tokens()},
			{"Signing requests", requests()},
			{"Nodes and lifecycle hooks", lifecycle()},
			{"Autoscaler: what is asked for", demand()},
			{"Autoscaler: what is done", actions()},
			{"Autoscaler: how well", quality()},
			{"Services and AWS", services()},
		},
	}
}

// number is a panel of one number.
func number(title, unit, description, expr string, thresholds ...threshold) panel {
	return panel{title: title, kind: "stat", unit: unit, description: description, queries: []query{{expr, ""}}, thresholds: thresholds}
}

// lines is a panel of lines over time.
func lines(title, unit, description string, queries ...query) panel {
	return panel{title: title, kind: "timeseries", unit: unit, description: description, queries: queries}
}

func overview() []panel {
	leaders := number("Leaders", "none", "Control-plane nodes that lead: one. Without a leader no token is rotated and no request is decided.",
		`sum(joinery_leader{job="$job"})`, threshold{"red", nil}, threshold{"green", 1}, threshold{"red", 2})
	door := number("Unsafe auto-approvals", "none", "Rights by which signing requests are approved that no one judges. joinery doctor has the remedy.",
		`sum(max by (binding, requester, right) (joinery_unsafe_auto_approval{job="$job"}))`, threshold{"green", nil}, threshold{"red", 1})
	legacy := number("Legacy token", "none", "Whether the weaker token for legacy user data is published.",
		`max(joinery_legacy_token_enabled{job="$job"})`, threshold{"green", nil}, threshold{"orange", 1})
	legacy.words = map[string]string{"0": "off", "1": "on"}
	return []panel{
		leaders,
		number("Token's life left", "s", "How long the published join token is good for.",
			`max(joinery_token_expiry_timestamp_seconds{job="$job", purpose="join"} > 0) - time()`, threshold{"red", nil}, threshold{"orange", 900}, threshold{"green", 2700}),
		number("Client certificate's life left", "s", "Of the control-plane node whose certificate ends first.",
			`min(joinery_client_certificate_expiry_timestamp_seconds{job="$job"}) - time()`, threshold{"red", nil}, threshold{"orange", 36000}, threshold{"green", 39600}),
		number("Late services", "none", "Services of the leader that make no progress; /healthz says the same.",
			`sum(joinery_service_late{job="$job"})`, threshold{"green", nil}, threshold{"red", 1}),
		door,
		legacy,
	}
}

func tokens() []panel {
	return []panel{
		lines("Life left of the published tokens", "s", "Falls to a third of its life, then another token is published.",
			query{`max by (purpose) (joinery_token_expiry_timestamp_seconds{job="$job"} > 0) - time()`, "{{purpose}}"}),
		lines("Tokens published", "none", "Rotations in the interval, by reason.",
			query{`sum by (purpose, reason) (increase(joinery_token_rotations_total{job="$job"}[$__rate_interval]))`, "{{purpose}}: {{reason}}"}),
		lines("Failures of rotation", "none", "What went wrong in rounds of the rotator, by kind. The published token lives on meanwhile.",
			query{`sum by (purpose, kind) (increase(joinery_token_failures_total{job="$job"}[$__rate_interval]))`, "{{purpose}}: {{kind}}"}),
	}
}

func requests() []panel {
	return []panel{
		lines("Decisions", "none", "Signing requests in the interval, by verdict and reason.",
			query{`sum by (verdict, reason) (increase(joinery_csr_decisions_total{job="$job"}[$__rate_interval]))`, "{{verdict}} {{reason}}"}),
		lines("Proofs of approved joins", "none", "By kind. Set spec.approver.proof to instanceIdentity once nodeRole does not grow.",
			query{`sum by (kind) (increase(joinery_csr_proofs_total{job="$job"}[$__rate_interval]))`, "{{kind}}"}),
		lines("Time to a decision", "s", "From the creation of a request to its approval or denial.",
			query{`histogram_quantile(0.5, sum by (le) (rate(joinery_csr_decision_seconds_bucket{job="$job"}[$__rate_interval])))`, "median"},
			query{`histogram_quantile(0.99, sum by (le) (rate(joinery_csr_decision_seconds_bucket{job="$job"}[$__rate_interval])))`, "99 %"}),
		lines("Waiting requests", "none", "Unclaimed: no instance that may be joining has the name. They cost nothing.",
			query{`sum by (state) (joinery_csr_waiting_requests{job="$job"})`, "{{state}}"}),
	}
}

func lifecycle() []panel {
	return []panel{
		lines("Nodes by standing", "none", "How Nodes stand to the instances of EC2, as the leader sees it.",
			query{`sum by (standing, reason) (joinery_nodes{job="$job"}) > 0`, "{{standing}} {{reason}}"}),
		lines("Images with a problem", "none", "Machine images of groups whose kubelet or agent is unsupported or unknown; joinery doctor says what to do.",
			query{`max by (image, reason) (joinery_image_problem{job="$job"})`, "{{image}} {{reason}}"}),
		lines("Nodes deleted", "none", "Node objects deleted because their instance is gone or is not theirs.",
			query{`sum by (reason) (increase(joinery_nodes_deleted_total{job="$job"}[$__rate_interval]))`, "{{reason}}"}),
		lines("Instances held by a hook", "none", "Instances that wait for an answer.",
			query{`sum by (hook) (joinery_hooks_waiting{job="$job"})`, "{{hook}}"}),
		lines("Answers to hooks", "none", "By result and reason; heartbeats are left out.",
			query{`sum by (hook, result, reason) (increase(joinery_hook_actions_total{job="$job", result!="heartbeat"}[$__rate_interval]))`, "{{hook}}: {{result}} {{reason}}"}),
		lines("Wait at a hook", "s", "From launch, or from when it was first seen to wait, to the end of the wait: 90 % are shorter.",
			query{`histogram_quantile(0.9, sum by (hook, le) (rate(joinery_hook_wait_seconds_bucket{job="$job"}[$__rate_interval])))`, "{{hook}}"}),
	}
}

func demand() []panel {
	return []panel{
		lines("Unschedulable pods", "none", "By what the last plan has for them.",
			query{`sum by (state) (joinery_autoscaler_pods{job="$job"})`, "{{state}}"},
			query{`sum(increase(joinery_autoscaler_distrusted_total{job="$job"}[$__rate_interval]))`, "refused where they should fit"}),
		lines("Desired capacity by group", "none", "As Auto Scaling has it.",
			query{`max by (group) (joinery_autoscaler_group_instances{job="$job", size="desired"})`, "{{group}}"}),
		{title: "Groups", kind: "table", unit: "none", description: "Sizes of the managed groups.",
			queries: []query{{`max by (group, size) (joinery_autoscaler_group_instances{job="$job"})`, ""}}},
		lines("Nodes that are not needed, and held ones", "none", "Unneeded: the last plan could do without them. Held: by a lock, a file or an annotation.",
			query{`max(joinery_autoscaler_unneeded_nodes{job="$job"})`, "unneeded"},
			query{`max by (state) (joinery_autoscaler_held_nodes{job="$job"})`, "held: {{state}}"}),
		lines("Lost nodes", "none", "Nodes whose kubelet is not Ready, the pods that end only with them, what was ended for it, and whether so many are that nothing is.",
			query{`max by (state) (joinery_autoscaler_lost_nodes{job="$job"})`, "{{state}}"},
			query{`max(joinery_autoscaler_lost_pods{job="$job"})`, "pods"},
			query{`sum by (group) (increase(joinery_autoscaler_lost_instances_ended_total{job="$job"}[$__rate_interval]))`, "ended: {{group}}"},
			query{`sum(increase(joinery_pods_finished_total{job="$job"}[$__rate_interval]))`, "pods finished by force"},
			query{`max(joinery_autoscaler_brake{job="$job"})`, "brake"}),
	}
}

func actions() []panel {
	return []panel{
		lines("Instances asked for", "none", "By raising desired capacity, in the interval.",
			query{`sum by (group) (increase(joinery_autoscaler_nodes_requested_total{job="$job"}[$__rate_interval]))`, "{{group}}"}),
		lines("Nodes removed", "none", "Drained and terminated with decrement, in the interval.",
			query{`sum by (group, empty) (increase(joinery_autoscaler_nodes_removed_total{job="$job"}[$__rate_interval]))`, "{{group}}, empty: {{empty}}"}),
		lines("Refused or rolled back", "none", "Increases that AWS refused, removals that were undone, and instances that never became a node.",
			query{`sum by (group) (increase(joinery_autoscaler_scale_up_failures_total{job="$job"}[$__rate_interval]))`, "increase: {{group}}"},
			query{`sum by (group) (increase(joinery_autoscaler_scale_down_failures_total{job="$job"}[$__rate_interval]))`, "removal: {{group}}"},
			query{`sum by (group) (increase(joinery_autoscaler_instances_replaced_total{job="$job"}[$__rate_interval]))`, "never a node: {{group}}"}),
		lines("What became of nodes that were asked for", "none", "In the interval: true, late, short (it came and helped none of its pods) or never.",
			query{`sum by (outcome) (increase(joinery_autoscaler_expectations_total{job="$job"}[$__rate_interval]))`, "{{outcome}}"}),
		lines("Answers to evictions", "none", "By result.",
			query{`sum by (result) (increase(joinery_autoscaler_evictions_total{job="$job"}[$__rate_interval]))`, "{{result}}"}),
	}
}

func quality() []panel {
	return []panel{
		lines("Pod unschedulable to AWS's answer", "s", "From seeing a pod unschedulable to the answer to the raise for it.",
			query{`histogram_quantile(0.5, sum by (le) (rate(joinery_autoscaler_pending_to_desired_seconds_bucket{job="$job"}[$__rate_interval])))`, "median"},
			query{`histogram_quantile(0.99, sum by (le) (rate(joinery_autoscaler_pending_to_desired_seconds_bucket{job="$job"}[$__rate_interval])))`, "99 %"}),
		lines("Duration of rounds", "s", "AWS calls included: 99 % are shorter.",
			query{`histogram_quantile(0.99, sum by (le) (rate(joinery_autoscaler_round_seconds_bucket{job="$job"}[$__rate_interval])))`, "99 %"}),
		lines("Rounds with errors", "none", "In the interval. /decisions has the errors.",
			query{`sum(increase(joinery_autoscaler_round_errors_total{job="$job"}[$__rate_interval]))`, "errors"}),
		lines("Faulty plans, competing autoscaler", "none", "Faults that the validator found (each is a bug), and whether a Cluster Autoscaler is active.",
			query{`sum by (plan) (increase(joinery_autoscaler_plan_problems_total{job="$job"}[$__rate_interval]))`, "faults: {{plan}}"},
			query{`max(joinery_autoscaler_rival_active{job="$job"})`, "competing autoscaler"}),
	}
}

func services() []panel {
	return []panel{
		lines("Rounds that fail", "none", "Rounds of the leader's services, in the interval.",
			query{`sum by (service) (increase(joinery_service_rounds_total{job="$job", result="failed"}[$__rate_interval])) > 0`, "{{service}}"}),
		lines("Without progress", "s", "How long each service of the leader has made no progress.",
			query{`max by (service) (joinery_service_progress_age_seconds{job="$job"})`, "{{service}}"}),
		lines("Calls to AWS", "reqps", "By service and operation, retries included.",
			query{`sum by (service, operation) (rate(joinery_aws_calls_total{job="$job"}[$__rate_interval]))`, "{{service}} {{operation}}"}),
		lines("Calls to AWS that fail", "reqps", "By the code that AWS gave.",
			query{`sum by (service, operation, result) (rate(joinery_aws_calls_total{job="$job", result!~"ok|canceled"}[$__rate_interval])) > 0`, "{{service}} {{operation}}: {{result}}"}),
	}
}

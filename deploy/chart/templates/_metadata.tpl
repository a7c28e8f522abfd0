{{- /* The labels and annotations of every object, below its metadata. */}}
{{- define "joinery.metadata" }}
{{- with .Values.labels }}
  labels:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- with .Values.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- end }}

{{- /* The same for an object with labels and annotations of its own, which win. */}}
{{- define "joinery.own" }}
{{- include "joinery.metadata" (dict "Values" (dict
  "labels" (merge (dict) .own.labels .root.labels)
  "annotations" (merge (dict) (get .own "annotations" | default dict) .root.annotations))) }}
{{- end }}

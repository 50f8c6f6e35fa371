{{- define "agent.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "agent.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "agent.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "agent.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "agent.selector" -}}
app.kubernetes.io/name: {{ include "agent.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "agent.labels" -}}
{{ include "agent.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The metadata that every object has; call it with (list . "suffix"). */}}
{{- define "agent.metadata" -}}
{{- $top := index . 0 -}}
name: {{ include "agent.fullname" $top }}{{ with index . 1 }}-{{ . }}{{ end }}
namespace: {{ $top.Release.Namespace }}
labels:
  {{- include "agent.labels" $top | nindent 2 }}
{{- end -}}

{{- define "agent.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "agent.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "agent.image" -}}
{{- $repository := .Values.image.repository | required "image.repository is missing: no image is published, so build contrib/container/Dockerfile and name the image here" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "agent.secret" -}}
{{- default (include "agent.fullname" .) .Values.existingSecret -}}
{{- end -}}

{{/* The port of `config.web`; empty: it is off, or serves the pod alone. */}}
{{- define "agent.port" -}}
{{- with .Values.config.web -}}
{{- $listen := default "127.0.0.1:8299" .listen -}}
{{- if not (or (hasPrefix "127." $listen) (hasPrefix "localhost:" $listen) (hasPrefix "[::1]" $listen)) -}}
{{- regexFind "[0-9]+$" $listen -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "agent.scheme" -}}
{{- if (default dict .Values.config.web).tls }}https{{ else }}http{{ end -}}
{{- end -}}

{{/* The Leases of `config.lease` and of the clusters: a JSON list of namespace and name. */}}
{{- define "agent.leases" -}}
{{- $top := . -}}
{{- $leases := list -}}
{{- $common := default dict .Values.config.lease -}}
{{- if not .Values.config.clusters -}}
{{- if eq (default "" $common.type) "kubernetes" -}}
{{- $leases = append $leases (dict "namespace" (default $top.Release.Namespace $common.namespace) "name" (default "raft-snapshot-lease" $common.name)) -}}
{{- end -}}
{{- end -}}
{{- range $name, $cluster := .Values.config.clusters -}}
{{- $own := default dict (default dict $cluster).lease -}}
{{- $lease := $own -}}
{{- $suffix := "" -}}
{{- if not $own -}}
{{- $lease = $common -}}
{{- $suffix = printf "-%s" (regexReplaceAll "[^a-z0-9-]" (lower $name) "-" | trimAll "-") -}}
{{- end -}}
{{- if eq (default "" $lease.type) "kubernetes" -}}
{{- $leases = append $leases (dict "namespace" (default $top.Release.Namespace $lease.namespace) "name" (printf "%s%s" (default "raft-snapshot-lease" $lease.name) $suffix)) -}}
{{- end -}}
{{- end -}}
{{- $leases | toJson -}}
{{- end -}}

{{- define "agent.needsApi" -}}
{{- if include "agent.leases" . | fromJsonArray }}true{{ end -}}
{{- end -}}

{{/* Whether every cluster has a lease, so that several agents may run. */}}
{{- define "agent.shared" -}}
{{- $bare := list -}}
{{- if not .Values.config.lease -}}
{{- range $name, $cluster := .Values.config.clusters -}}
{{- if not (default dict $cluster).lease -}}{{- $bare = append $bare $name -}}{{- end -}}
{{- end -}}
{{- if not .Values.config.clusters -}}{{- $bare = list "the agent" -}}{{- end -}}
{{- end -}}
{{- if not $bare }}true{{ end -}}
{{- end -}}

{{/* One line for each thing that cannot work; the schema has said what is no value at all. */}}
{{- define "agent.check" -}}
{{- if and (eq .Values.mode "deployment") (gt (int .Values.replicas) 1) (not (include "agent.shared" .)) -}}
{{- fail (printf "replicas is %d without config.lease: each of them would take every snapshot; set config.lease, such as {type: kubernetes}, or replicas: 1" (int .Values.replicas)) -}}
{{- end -}}
{{- if not .Values.existingSecret -}}
{{- if not (or .Values.config.storages .Values.config.clusters) -}}
{{- fail "config.storages is missing: name at least one storage, or set existingSecret" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled (or (not (include "agent.port" .)) (ne .Values.mode "deployment")) -}}
{{- fail "serviceMonitor.enabled needs mode: deployment and a config.web.listen that others reach, such as 0.0.0.0:8299" -}}
{{- end -}}
{{- if and (default dict .Values.config.web).token .Values.serviceMonitor.enabled (not .Values.serviceMonitor.tokenSecret) -}}
{{- fail "serviceMonitor.tokenSecret is missing: config.web.token is set, so a scrape needs the token; name the Secret and its key" -}}
{{- end -}}
{{- end -}}

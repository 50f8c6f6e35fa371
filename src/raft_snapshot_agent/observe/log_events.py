"""The names of log events, for programs; they do not change when a sentence is reworded."""

from __future__ import annotations

from enum import StrEnum


class LogEvent(StrEnum):
    """Name of the event that a log line reports; see docs/logging.md."""

    CONFIGURATION_LOADED = "configuration_loaded"
    CONFIGURATION_WARNING = "configuration_warning"
    CONFIGURATION_NOTE = "configuration_note"
    CONFIGURATION_REFUSED = "configuration_refused"
    CONFIGURATION_IN_FORCE = "configuration_in_force"
    RESTART_NEEDED = "restart_needed"
    CLUSTER_DISABLED = "cluster_disabled"
    STORAGE_DISABLED = "storage_disabled"
    STARTED = "started"
    SIGNAL_RECEIVED = "signal_received"
    STOPPED = "stopped"
    WATCHDOG_SILENT = "watchdog_silent"
    BACKGROUND_FAILED = "background_failed"
    TRACES_NOT_SENT = "traces_not_sent"
    METRICS_NOT_LEFT = "metrics_not_left"
    STATUS_SOCKET_MISSING = "status_socket_missing"

    SNAPSHOT_STORED = "snapshot_stored"
    SNAPSHOT_NOT_STORED = "snapshot_not_stored"
    SNAPSHOT_FAILED = "snapshot_failed"
    SNAPSHOT_DROPPED = "snapshot_dropped"
    SNAPSHOT_DELETED = "snapshot_deleted"
    SNAPSHOT_HELD_ALREADY = "snapshot_held_already"
    STORAGE_WARNING = "storage_warning"
    RETENTION_SUSPENDED = "retention_suspended"
    NODE_PASSED_OVER = "node_passed_over"
    TURN_TAKEN = "turn_taken"
    TURN_LEFT = "turn_left"
    STANDING_BY = "standing_by"
    NEXT_SNAPSHOT = "next_snapshot"
    RETRY = "retry"
    SLOTS_MISSED = "slots_missed"
    CLOCK_SET_BACK = "clock_set_back"
    SCHEDULE_FAILED = "schedule_failed"
    NOBODY_WORKS = "nobody_works"
    SOMEBODY_WORKS = "somebody_works"

    TOKEN_TROUBLE = "token_trouble"  # noqa: S105 - a name, not a token
    LOGIN_FAILING = "login_failing"
    LEASE_ACQUIRED = "lease_acquired"
    LEASE_GIVEN_AWAY = "lease_given_away"
    LEASE_LOST = "lease_lost"
    LEASE_UNUSABLE = "lease_unusable"

    DRILL_PASSED = "drill_passed"
    DRILL_FAILED = "drill_failed"
    DRILL_NOT_HELD = "drill_not_held"
    DRILL_NOT_NOTED = "drill_not_noted"
    SCRUB_PASSED = "scrub_passed"
    SCRUB_FAILED = "scrub_failed"
    SCRUB_TROUBLE = "scrub_trouble"

    NOTIFIERS = "notifiers"
    NOTIFIER_INVALID = "notifier_invalid"
    NOTIFICATION_FAILED = "notification_failed"
    NOTIFICATIONS_NOT_KEPT = "notifications_not_kept"

    PAGE_SERVED = "page_served"
    PAGE_NOT_SERVED = "page_not_served"
    PAGE_EXPOSED = "page_exposed"
    PAGE_FAILED = "page_failed"
    PAGE_SECRETS_KEPT = "page_secrets_kept"

    LINES_MISSING = "lines_missing"
    RESOLVED = "resolved"
    TRACE = "trace"
    OTHER = "other"

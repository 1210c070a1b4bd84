"""The cluster's files, and the schema in it."""

import psycopg

from appliance.apps import registry
from appliance.database import application_names
from appliance.database.connect import connect, reason
from appliance.doctor.finding import Finding, Subject, ok, problem, warning
from appliance.facts import DatabaseFacts
from appliance.migrations.tracks import load_tracks
from appliance.postgres import binaries, cluster, config
from appliance.system import system_users


def cluster_files(subject: Subject) -> Finding:
    """May this cluster be started?"""
    if not subject.storage.pgdata.exists():
        return warning("there is no cluster yet", "The first start makes it: appliance up")
    cluster.check(subject.storage, system_users.detect().database)
    return ok(f"a Postgres {binaries.MAJOR_VERSION} cluster with the right owner and mode")


def schema(subject: Subject) -> Finding:
    """Is the schema what this version needs?"""
    of_app = registry.load(subject.settings.app).tracks()
    tracks = load_tracks(of_app, subject.settings.client_migrations_dir)
    try:
        with connect(
            subject.storage, config.OWNER_ROLE, program=application_names.DOCTOR
        ) as connection:
            state = DatabaseFacts(connection).schema(tracks)
    except psycopg.Error as error:
        return _unanswered(subject, error)
    if not state.in_sync:
        return problem(state.message, "Apply them: appliance migrate")
    if state.client.pending:
        return warning(
            f"{state.message} Your own migrations are pending: {', '.join(state.client.pending)}.",
            "Apply them: appliance migrate",
        )
    return ok(state.message)


def _unanswered(subject: Subject, error: psycopg.Error) -> Finding:
    text = f"not looked at: the database does not answer ({reason(error)})"
    if subject.facts.is_owned:
        return problem(text, "Somebody owns it, so it should: look at the log.")
    return warning(text, "Start it: appliance up")

"""The scenarios by subject. Importing this package registers all of them, in this order."""

from scenarios import (  # noqa: F401
    upgrade,
    plain,
    malformed,
    session_basics,
    control_frames,
    resume,
    refused_resume,
    closing,
    credentials,
    overflow,
    codecs,
    questions,
    cuts,
    crowd,
    memberships,
    volatile,
    history,
    lifecycle,
    draining,
    limits,
)

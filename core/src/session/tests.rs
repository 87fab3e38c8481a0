//! Two sessions, a scripted link and a clock of our own.

//! Pages to read: what the parts are for together, how to choose, and how to come from another scheduler.
//!
//! | you have | read |
//! | --- | --- |
//! | jobs that must outlive the process | [what survives what](what_survives) |
//! | lines in a crontab | [from cron](from_cron) |
//! | property lists on a Mac | [from launchd](from_launchd) |
//! | systemd's timers | [from systemd](from_systemd) |
//! | Python's `schedule` | [from schedule](from_schedule) |
//! | Python's `sched`, or a clock of your own | [from sched](from_sched) |
//! | APScheduler, 3 or 4 | [from APScheduler](from_apscheduler) |
//! | celery, for its beat | [from celery beat](from_celery) |
//! | pipelines of luigi's | [from luigi](from_luigi) |
//! | clokwerk | [from clokwerk](from_clokwerk) |
//! | tokio-cron-scheduler | [from tokio-cron-scheduler](from_tokio_cron_scheduler) |
//!
//! Each of the latter has the same jobs there and here, a table of words, what differs, what is missing, and what gets better. What is
//! said of the others was looked up in their sources and manuals in November 2026.

#[doc = include_str!("guide/from_apscheduler.md")]
pub mod from_apscheduler {}
#[doc = include_str!("guide/from_celery.md")]
pub mod from_celery {}
#[doc = include_str!("guide/from_clokwerk.md")]
pub mod from_clokwerk {}
#[doc = include_str!("guide/from_cron.md")]
pub mod from_cron {}
#[doc = include_str!("guide/from_launchd.md")]
pub mod from_launchd {}
#[doc = include_str!("guide/from_luigi.md")]
pub mod from_luigi {}
#[doc = include_str!("guide/from_sched.md")]
pub mod from_sched {}
#[doc = include_str!("guide/from_schedule.md")]
pub mod from_schedule {}
#[doc = include_str!("guide/from_systemd.md")]
pub mod from_systemd {}
#[doc = include_str!("guide/from_tokio_cron_scheduler.md")]
pub mod from_tokio_cron_scheduler {}
#[doc = include_str!("guide/what_survives.md")]
pub mod what_survives {}

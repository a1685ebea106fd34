//! Makes plans, shows them and carries them out.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use cleanup_core::candidate::Escaped;
use cleanup_core::report::Report;
use cleanup_engine::plan::{Plan, PlanError, PlanSummary, PlannedItem};
use cleanup_engine::{Engine, Request, now};

use super::access::Asker;
use super::error::AppError;
use super::kept_plans::Kept;
use super::service::Service;
use super::sweeps::SweepHandle;

/// Makes a plan as it is asked for, and keeps it for so long. With `force`, what a brake holds back is written down as
/// well: nothing goes by that, and whoever carries the plan out has read it.
pub(crate) async fn make(service: &Service, request: Request, valid_for: Duration) -> Result<PlanSummary, AppError> {
    let engine = service.generation().engine;
    let (report, summary, file) = service.blocking(move || write(&engine, &request, valid_for)).await??;
    service.feed().plan_made(&report);
    service.plans().keep(summary.clone(), file);
    Ok(summary)
}

fn write(engine: &Engine, request: &Request, valid_for: Duration) -> Result<(Report, PlanSummary, File), PlanError> {
    let file = tempfile::tempfile().map_err(PlanError::Unwritable)?;
    let (report, summary) = engine.write_plan(request, valid_for, &file, &())?;
    Ok((report, summary, file))
}

/// The plan with this id.
pub(crate) fn find(service: &Service, id: &str) -> Result<Arc<Kept>, AppError> {
    service.plans().get(id, now()).ok_or_else(|| unknown(id))
}

/// No plan has this id.
pub(crate) fn unknown(id: &str) -> AppError {
    AppError::UnknownId(format!("there is no plan {}, or it has expired", Escaped(id.as_bytes())))
}

/// The first entries of a plan.
pub(crate) async fn first(service: &Service, kept: Arc<Kept>, most: usize) -> Result<Vec<PlannedItem>, AppError> {
    Ok(service.blocking(move || read(&kept)?.first(most)).await??)
}

/// Carries a plan out.
pub(crate) async fn apply(service: &Service, id: &str, asker: &Asker) -> Result<SweepHandle, AppError> {
    let kept = find(service, id)?;
    let engine = service.generation().engine;
    let plan = service
        .blocking(move || {
            let plan = read(&kept)?;
            engine.accepts(&plan).map(|()| plan)
        })
        .await??;
    service.apply(plan, asker.to_name())
}

fn read(kept: &Kept) -> Result<Plan, PlanError> {
    Plan::from_file(kept.file.try_clone().map_err(PlanError::Unreadable)?)
}

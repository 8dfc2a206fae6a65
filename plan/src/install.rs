//! The complete plan of an image install, made before anything is destroyed.
//!
//! [`disked`] and [`diskless`] look at everything that can be known and return all findings at once; a plan they
//! return has no choice left in it but the guards that its ops show.

use nii::manifest::Manifest;
use nii::{Finding, Nii};
use serde::Serialize;
use uuid::Uuid;

use crate::facts::Facts;
use crate::op::Op;

/// All that a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The machine.
    pub facts: &'a Facts,
    /// What it is to become; validated.
    pub nii: &'a Nii,
    /// The image that [`Nii::image`] pins; its signature was checked.
    pub manifest: &'a Manifest,
    /// The admin's act: GUIDs and UUIDs derive from it, so that every attempt makes the same.
    pub arming: Uuid,
    /// This try.
    pub attempt: Uuid,
}

/// A plan: the stages in their order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// One for each step of the program that changes the machine.
    pub stages: Vec<Stage>,
    /// What is worth a look and stops nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Finding>,
}

/// The ops of one step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stage {
    /// Name of the step: `partition`, `format`, `unpack`, `configure`, `bootloader`, `commit`.
    pub step: &'static str,
    /// What it does, in order.
    pub ops: Vec<Op>,
}

impl Plan {
    /// The ops of a step; none if the plan has no such stage.
    pub fn ops(&self, step: &str) -> &[Op] {
        self.stages.iter().find(|stage| stage.step == step).map_or(&[], |stage| &stage.ops)
    }
}

/// The plan of a node that runs from its own disks: `partition`, `format`, `unpack`, `configure`, `bootloader`,
/// `commit`.
///
/// # Errors
/// Every reason why it cannot be, warnings too; at least one is an error.
pub fn disked(inputs: &Inputs<'_>) -> Result<Plan, Vec<Finding>> {
    Err(vec![Finding::error("", format!("no plan for {} yet", inputs.nii.node.name))])
}

/// The plan of a node that runs from RAM: `format`, `unpack`, `configure`.
///
/// # Errors
/// Every reason why it cannot be, warnings too; at least one is an error.
pub fn diskless(inputs: &Inputs<'_>) -> Result<Plan, Vec<Finding>> {
    Err(vec![Finding::error("", format!("no plan for {} yet", inputs.nii.node.name))])
}

//! The failure screen: step, op, cause, what to try, the log's end. Pure text.

use nii::event::Failure;

/// Lines of the log on the screen; the report to the head node has more.
const LOG_LINES: usize = 12;
const RULE: &str = "==============================================================================";

/// The screen.
pub fn text(failure: &Failure) -> String {
    let mut lines = vec![RULE.to_owned(), format!("camphor: FAILED at step {}", failure.step)];
    lines.extend(failure.op.iter().map(|op| format!("  op:    {op}")));
    // The op's own failure repeats the op in its first cause.
    let mut causes = failure.cause.iter().filter(|cause| Some(*cause) != failure.op.as_ref());
    lines.extend(causes.next().map(|cause| format!("  cause: {}", indent(cause))));
    lines.extend(causes.map(|cause| format!("     by: {}", indent(cause))));
    lines.extend(failure.hint.iter().map(|hint| format!("  try:   {hint}")));
    let from = failure.log_tail.len().saturating_sub(LOG_LINES);
    lines.extend(failure.log_tail[from..].iter().map(|line| format!("  log:   {line}")));
    lines.push(RULE.to_owned());
    lines.join("\n")
}

/// Findings come as several lines.
fn indent(text: &str) -> String {
    text.replace('\n', "\n         ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_step_op_chain_hint_and_log() {
        let failure = Failure {
            step: "format".into(),
            op: Some("make ext4 on /dev/vda2".into()),
            cause: vec!["make ext4 on /dev/vda2".into(), "running mkfs.ext4".into(), "No space left".into()],
            hint: Some("make room".into()),
            log_tail: (0..20).map(|n| format!("line {n}")).collect(),
        };
        let screen = text(&failure);
        let lines: Vec<&str> = screen.lines().collect();
        assert_eq!(lines[1], "camphor: FAILED at step format");
        assert_eq!(lines[2], "  op:    make ext4 on /dev/vda2");
        assert_eq!(lines[3], "  cause: running mkfs.ext4");
        assert_eq!(lines[4], "     by: No space left");
        assert_eq!(lines[5], "  try:   make room");
        assert_eq!(lines[6], "  log:   line 8");
        assert_eq!(lines.len(), 6 + LOG_LINES + 1);
    }
}

//! JUnit XML: one failed test for each reason, so that a CI server lists them by name.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{CheckReport, RenderError};
use crate::gate::verdict::Reason;

/// The suite's name; the class of each test is `portcullis.CHECK`.
const SUITE: &str = "portcullis check";

pub(super) fn render(report: &CheckReport) -> Result<String, RenderError> {
    let mut suite = TestSuite::new(SUITE);
    for (key, value) in [
        ("image", Some(report.image.as_str())),
        ("repository", Some(report.repository.as_str())),
        ("digest", report.digest.as_deref()),
        ("policy", Some(report.policy.as_str())),
    ] {
        if let Some(value) = value {
            suite.add_property((key, value));
        }
    }
    // The verdict itself is a test, so that an admitted image is a run with a success and not one without tests.
    let mut status = TestCaseStatus::success();
    if !report.reasons.is_empty() {
        status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message(format!("denied for {} reasons", report.reasons.len() + report.omitted));
    }
    let mut verdict = TestCase::new(format!("{} at {}", report.image, report.checkpoint), status);
    verdict.set_classname("portcullis.verdict");
    suite.add_test_case(verdict);
    suite.add_test_cases(report.reasons.iter().map(failure));
    suite.add_test_cases(report.warnings.iter().map(warning));
    write(suite)
}

pub(super) fn render_undecided(image: &str, problem: &str) -> Result<String, RenderError> {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_message(problem).set_type("undecided");
    let mut case = TestCase::new(image, status);
    case.set_classname("portcullis.verdict");
    let mut suite = TestSuite::new(SUITE);
    suite.add_test_case(case);
    write(suite)
}

fn write(suite: TestSuite) -> Result<String, RenderError> {
    let mut report = Report::new("portcullis");
    report.add_test_suite(suite);
    Ok(report.to_string()?)
}

fn failure(reason: &Reason) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_message(&*reason.message).set_type(&*reason.check).set_description(reason.line());
    case(reason, status)
}

fn warning(reason: &Reason) -> TestCase {
    let mut case = case(reason, TestCaseStatus::success());
    case.set_system_out(format!("warning: {}", reason.line()));
    case
}

/// Named so that the same finding has the same name in the next build, and a CI server sees it fixed.
fn case(reason: &Reason, status: TestCaseStatus) -> TestCase {
    // A rule may match many files; each is a test of its own.
    let finding =
        if reason.check == "malware" { Some(reason.message.as_str()) } else { reason.finding.as_deref() };
    let parts = [reason.platform.as_deref(), finding, reason.package.as_deref()];
    let name: Vec<&str> = parts.into_iter().flatten().collect();
    let name = if name.is_empty() { reason.message.clone() } else { name.join(" ") };
    let mut case = TestCase::new(name, status);
    case.set_classname(format!("portcullis.{}", reason.check));
    case
}

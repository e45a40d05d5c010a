//! The register of published bypasses: what each taught verifiers of signatures and admission doors, and the tests that
//! hold it here. And the list of mistakes not to repeat, each with its test.

use std::fs;

use tests::test_gateway::workspace;

const SIGSTORE: &str = "keys/src/sigstore/tests.rs";
const IDENTITY: &str = "keys/src/sigstore/identity/tests.rs";
const LEGACY: &str = "keys/src/sigstore/legacy/tests.rs";
const VERIFY: &str = "keys/src/verify/tests.rs";
const BUNDLE: &str = "keys/src/verify/tests/bundle_form.rs";
const DISCOVERY: &str = "keys/src/cosign/tests.rs";
const NOTATION: &str = "keys/tests/notation_cves.rs";
const TIMES: &str = "keys/tests/notation_times.rs";
const NOTARY: &str = "keys/tests/notary_cases.rs";
const MINTED: &str = "keys/tests/notary_minted.rs";
const ROLES: &str = "keys/tests/notary_roles.rs";
const TRUST_DATA: &str = "gateway/src/registry/tests/notary.rs";
const NOTARY_SERVER: &str = "gateway/src/source/notary/server.rs";
const THRESHOLD: &str = "keys/src/threshold.rs";
const POLICY: &str = "gateway/src/gate/policy/tests.rs";
const STATED: &str = "gateway/src/gate/tests/attestation.rs";
const LIFE: &str = "gateway/src/registry/tests/life.rs";
const STORE: &str = "gateway/src/registry/tests/attacks.rs";
const PATH: &str = "gateway/src/registry/path.rs";
const RECEIPTS: &str = "gateway/src/registry/tests/receipts.rs";
const REMOTE: &str = "gateway/src/source/registry/tests.rs";
const DOCKER: &str = "gateway/src/admission/docker/tests.rs";
const KUBERNETES: &str = "gateway/src/admission/kubernetes/tests.rs";
const ADMISSION: &str = "tests/it/attacks/admission.rs";
const AMBIGUOUS: &str = "tests/it/attacks/ambiguous.rs";

/// Advisory, lesson, file, test.
#[rustfmt::skip]
const REGISTER: &[(&str, &str, &str, &str)] = &[
    ("CVE-2022-23649", "a log entry is bound to this signature", SIGSTORE, "a_log_entry_about_something_else_is_refused"),
    ("CVE-2022-23649", "and so is the promise of the older form", LEGACY, "an_entry_for_another_payload_signature_or_certificate_is_refused"),
    ("CVE-2022-35929", "the predicate type is checked, absence fails", LEGACY, "an_attestation_of_no_type_or_about_something_else_is_refused"),
    ("CVE-2022-35929", "the predicate type is compared inside the signed bytes", STATED, "cve_2022_35929_the_predicate_type_is_compared_inside_the_signed_bytes"),
    ("CVE-2022-35930", "an attestation without the required type does not count", STATED, "cve_2022_35930_a_signature_or_another_attestation_is_not_the_one_that_is_asked_for"),
    ("CVE-2022-36056", "identity, bundle and key belong together", SIGSTORE, "a_bundle_of_the_other_path_is_refused"),
    ("CVE-2022-36056", "a certificate never enters the key path", VERIFY, "check_2_a_certificate_never_enters_the_key_path"),
    ("CVE-2023-46737", "the number of signatures is bounded", VERIFY, "ten_thousand_signatures_on_one_digest_end_in_bounded_time"),
    ("CVE-2024-29902, CVE-2024-29903", "sizes are bounded before anything is read", BUNDLE, "bundle_check_1_and_2_the_bundle_is_the_one_a_referrer_of_this_image_names"),
    ("CVE-2026-22703", "the entry's body is compared even when its proof is valid", SIGSTORE, "a_log_entry_about_something_else_is_refused"),
    ("CVE-2026-24122", "the authorities are valid when it was signed", SIGSTORE, "every_certificate_of_the_chain_must_be_valid_when_it_was_signed"),
    ("CVE-2026-39395", "an attestation bundle is no signature", BUNDLE, "bundle_check_8_an_attestation_is_no_signature"),
    ("CVE-2026-39395", "and a failing report is none", STATED, "cve_2026_39395_a_failing_report_is_no_signature"),
    ("CVE-2024-45395", "lists, entries and timestamps of a bundle are bounded", SIGSTORE, "a_bundle_of_another_form_is_refused"),
    ("GHSA-wqqc-jjcq-vfxm", "a managed key counts within its window", VERIFY, "check_12_a_key_vouches_within_its_window_only"),
    ("sigstore-go #633", "log entries count by distinct logs", SIGSTORE, "log_entries_count_by_distinct_logs"),
    ("sigstore-go #609", "the one subject is this digest, and never an empty one", BUNDLE, "bundle_check_9_the_one_subject_is_this_digest"),
    ("sigstore-go #611, #635", "every field of an entry is bound", SIGSTORE, "a_log_entry_about_something_else_is_refused"),
    ("CVE-2023-25656, CVE-2023-33958", "endless data is not parsed", NOTATION, "cve_2023_25656_and_33958_endless_data_is_neither_fetched_nor_parsed"),
    ("CVE-2023-33957", "an endless list ends", NOTATION, "cve_2023_33957_an_endless_list_ends_and_strangers_cost_nothing_before_it"),
    ("CVE-2023-33959", "the whole descriptor is compared", NOTATION, "cve_2023_33959_media_type_digest_and_size_are_all_compared"),
    ("CVE-2024-23332", "what has expired does not come back", NOTATION, "cve_2024_23332_what_has_expired_counts_only_where_the_policy_says_so"),
    ("CVE-2024-51491", "no answer about revocation is a refusal", TIMES, "cve_2024_51491_no_answer_about_revocation_is_a_refusal_and_at_permissive_a_line_of_the_trace"),
    ("CVE-2024-56138", "a revoked timestamp authority makes no time", TIMES, "cve_2024_56138_a_revoked_timestamp_authority_makes_no_time"),
    ("CVE-2015-9258", "an expired root is refused", NOTARY, "cve_2015_9258_an_expired_root_is_refused"),
    ("CVE-2015-9259", "a signature chooses no method of another type of key", NOTARY, "cve_2015_9259_a_signature_cannot_choose_a_method_of_another_type_of_key"),
    ("CVE-2015-9258", "as is every other role, and the root key's certificate", MINTED, "every_role_expires_by_itself"),
    ("connaisseur #2150", "two identities under one root are one signer", ROLES, "connaisseur_2150_two_identities_under_one_root_count_once"),
    ("connaisseur #2151", "a required delegation never falls back to targets", NOTARY, "connaisseur_2151_a_required_delegation_never_falls_back_to_targets"),
    ("connaisseur #2151", "nor does anybody answer for a delegation that is broken", ROLES, "a_broken_delegation_answers_nothing_and_nobody_answers_for_it"),
    ("CVE-2024-47534, CVE-2025-2885 to -2888", "a threshold counts keys, by their value", MINTED, "a_threshold_counts_keys_and_not_signatures_or_ids"),
    ("CVE-2024-47534, CVE-2025-2885 to -2888", "the version of a root is the one that follows", MINTED, "a_root_of_another_version_than_follows_is_refused"),
    ("CVE-2024-47534, CVE-2025-2885 to -2888", "delegations are in the order and within the paths of those above", ROLES, "prefixes_of_every_level_limit_what_a_delegation_signs"),
    ("CVE-2024-47534, CVE-2025-2885 to -2888", "no role goes back, delegations neither, and what is refused teaches nothing", ROLES, "no_role_goes_back_to_an_older_version"),
    ("CVE-2024-47534, CVE-2025-2885 to -2888", "and that is remembered across a restart", TRUST_DATA, "an_older_state_is_refused_with_words_even_after_a_restart"),
    ("CVE-2025-27403", "credentials go to the host they belong to and to no other", NOTARY_SERVER, "credentials_go_to_the_servers_own_host_and_to_no_other"),
    ("CVE-2026-32280", "a chain of endless certificates is not walked", MINTED, "an_authority_vouches_for_the_root_certificates_that_it_issued"),
    ("connaisseur, init and ephemeral containers", "every container field is looked into", KUBERNETES, "every_container_field_is_looked_into"),
    ("CVE-2022-47633", "one fetch, one byte string", REMOTE, "bytes_that_are_not_what_was_asked_for_are_refused"),
    ("CVE-2025-29778", "a field that the policy names is compared", IDENTITY, "every_field_of_an_identity_is_compared"),
    ("CVE-2025-29778", "a key of the policy that is not known is a mistake", STATED, "ghsa_46mp_8w32_6g94_a_key_that_is_not_known_is_a_mistake"),
    ("GHSA-m85g-9h78-gj6r", "all images of a request are judged", ADMISSION, "only_what_is_released_starts_in_any_container_field_and_under_no_similar_name"),
    ("CVE-2024-41110", "a request without body is denied", DOCKER, "cve_2024_41110_a_request_without_body_is_denied"),
    ("CVE-2026-34040", "an oversized call is denied", DOCKER, "cve_2026_34040_an_oversized_call_is_denied"),
    ("CVE-2021-41190", "manifest or index, never both", DISCOVERY, "a_manifest_that_could_be_two_things_is_neither"),
    ("CVE-2021-41190", "and a Content-Type that disagrees is refused", AMBIGUOUS, "a_content_type_that_disagrees_with_the_body_is_refused"),
    ("CVE-2024-3727", "a digest is checked before it names a file", PATH, "what_the_grammar_does_not_allow_is_refused"),
];

/// Number in the list of mistakes, mistake avoided, file, test.
#[rustfmt::skip]
const NOT_TO_REPEAT: &[(u8, &str, &str, &str)] = &[
    (1, "allow is a count of satisfied requirements", THRESHOLD, "an_empty_requirement_or_clause_is_never_satisfied"),
    (2, "no identity, no policy; expressions are anchored", IDENTITY, "an_expression_is_anchored_whatever_it_holds"),
    (2, "unknown fields are mistakes", POLICY, "every_mistake_is_told_at_once"),
    (3, "the type of evidence is compared inside the signed bytes", BUNDLE, "bundle_check_8_an_attestation_is_no_signature"),
    (3, "type, signer and condition are asked of one attestation", STATED, "the_type_of_one_and_the_word_of_another_make_no_third"),
    (4, "one fetch, one buffer", REMOTE, "bytes_that_are_not_what_was_asked_for_are_refused"),
    (5, "artifact, statement, signature, key, entry and time are bound", SIGSTORE, "a_log_entry_about_something_else_is_refused"),
    (6, "time comes from a trusted source inside its own validity", SIGSTORE, "a_time_that_nobody_signed_is_no_time"),
    (6, "both ends of a period belong to it", SIGSTORE, "both_ends_of_every_period_belong_to_it"),
    (7, "the algorithm is the key's", VERIFY, "no_key_of_another_kind_vouches"),
    (8, "principals and keys are counted, not entries", THRESHOLD, "one_principal_or_one_key_counts_once"),
    (9, "limits come before reading", VERIFY, "work_and_candidates_beyond_the_limits_count_as_not_verified"),
    (9, "junk hides nothing", STORE, "ten_thousand_junk_referrers_hide_no_good_signature"),
    (10, "an answer ends with the windows and revocations it rests on", LIFE, "a_key_is_rotated_and_then_revoked"),
    (11, "every image field and kind is looked into", KUBERNETES, "every_workload_kind_is_looked_into"),
    (12, "missing means deny, and says which", KUBERNETES, "what_cannot_be_understood_is_denied"),
    (14, "every place of discovery ends in the same verification", VERIFY, "junk_hides_no_good_signature_in_either_form"),
    (14, "the gate's own receipts vouch for nothing", RECEIPTS, "a_receipt_vouches_for_nothing_and_is_not_told_as_a_refused_signature"),
    (15, "an error in one candidate ends no search", LEGACY, "forgeries_cannot_use_up_the_work_before_a_good_signature"),
    (16, "the foundation's policy of any identity is out of reach", IDENTITY, "a_pattern_that_names_nobody_or_everybody_is_refused"),
];

#[test]
fn each_row_of_the_register_has_its_test() {
    let numbered =
        NOT_TO_REPEAT.iter().map(|(number, lesson, file, test)| (number.to_string(), lesson, file, test));
    let named = REGISTER.iter().map(|(name, lesson, file, test)| ((*name).to_owned(), lesson, file, test));
    for (row, lesson, file, test) in named.chain(numbered) {
        let text =
            fs::read_to_string(workspace().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(text.contains(&format!("fn {test}(")), "{row}, {lesson}: no test `{test}` in {file}");
    }
}

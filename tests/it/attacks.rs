//! The attack list for a gate: what attackers try, and the test that holds each attempt down.
//!
//! Most run here, over HTTP against the real process; some are proven where the code lives. [`LIST`] is the index, and a
//! test keeps it true.

mod admission;
mod ambiguous;
mod layers;
mod signatures;
mod visibility;

use std::fs;

use tests::test_gateway::workspace;

const AMBIGUOUS: &str = "tests/it/attacks/ambiguous.rs";
const LAYERS: &str = "tests/it/attacks/layers.rs";
const SIGNATURES: &str = "tests/it/attacks/signatures.rs";
const VISIBILITY: &str = "tests/it/attacks/visibility.rs";
const ADMISSION: &str = "tests/it/attacks/admission.rs";
const ADMISSION_UNIT: &str = "gateway/src/admission/kubernetes/tests.rs";
const CRASH: &str = "tests/it/crash.rs";
const VERIFY: &str = "keys/src/verify/tests.rs";

/// Group, attack, file, test.
#[rustfmt::skip]
const LIST: &[(u8, &str, &str, &str)] = &[
    (1, "image with `manifests`; index with `layers` or `config`", AMBIGUOUS, "an_image_with_manifests_and_an_index_with_layers_or_config_are_refused"),
    (1, "duplicate JSON keys", AMBIGUOUS, "keys_that_stand_twice_are_refused"),
    (1, "unknown extra fields", AMBIGUOUS, "unknown_fields_are_stored_byte_by_byte"),
    (2, "Content-Type that disagrees with the body", AMBIGUOUS, "a_content_type_that_disagrees_with_the_body_is_refused"),
    (2, "schema 1", AMBIGUOUS, "schema_1_is_refused"),
    (2, "Accept that asks for another type", AMBIGUOUS, "what_accept_asks_for_never_changes_the_bytes_or_their_type"),
    (3, "runnable image that declares itself a signature, SBOM or attestation", AMBIGUOUS, "a_runnable_image_that_calls_itself_something_else_is_judged_as_an_image"),
    (3, "decoy layer of a type that is no layer; all layers typed as artifact", AMBIGUOUS, "a_layer_of_a_type_that_is_no_layer_hides_nothing"),
    (3, "config typed as empty", AMBIGUOUS, "a_config_that_calls_itself_empty_does_not_turn_layers_into_an_artifact"),
    (4, "packing that differs from the type", LAYERS, "packing_that_differs_from_the_declared_type_is_refused"),
    (4, "concatenated gzip members", LAYERS, "every_member_of_a_gzip_is_read"),
    (4, "bytes after the end", LAYERS, "what_follows_the_end_of_an_archive_is_refused"),
    (4, "bombs, sparse entries, huge paths", LAYERS, "bombs_end_at_a_limit_and_are_refused"),
    (4, "hard-link and symlink escapes", LAYERS, "names_and_links_that_leave_the_image_are_refused"),
    (4, "whiteouts that hide a scanned file", LAYERS, "a_whiteout_hides_no_secret_and_no_package_behind_a_second_file"),
    (5, "bytes that do not hash to the digest, monolithic and chunked", LAYERS, "bytes_that_do_not_hash_to_the_claimed_digest_are_not_stored"),
    (5, "foreign layer URLs", LAYERS, "layers_that_lie_elsewhere_are_refused"),
    (5, "layer of size 0; declared size that differs", LAYERS, "sizes_that_are_not_true_and_layers_of_size_0_are_refused"),
    (5, "sha512, truncated and odd digests", LAYERS, "sha512_is_as_good_as_sha256_and_truncated_or_odd_digests_are_none"),
    (6, "nested index; cycles through referrers", AMBIGUOUS, "an_index_in_an_index_and_an_index_that_refers_to_itself_end"),
    (6, "10 000 children, 100 000 layers, 4 MiB of empty descriptors", AMBIGUOUS, "ten_thousand_children_and_a_hundred_thousand_layers_are_refused_at_once"),
    (7, "child replaced in a released index", VISIBILITY, "a_child_that_is_replaced_in_a_released_index_is_not_served"),
    (7, "tag moved after the verdict", VISIBILITY, "a_released_tag_moves_only_with_the_next_release"),
    (8, "tag, digest, blob, config, HEAD, Range of a refused image", VISIBILITY, "nothing_of_a_refused_image_is_served_by_any_way_in"),
    (8, "mount from a foreign repository; blob known by deduplication", VISIBILITY, "a_mount_or_a_known_digest_opens_no_door_to_another_repository"),
    (9, "refused image under another name, or with a changed config", VISIBILITY, "a_refused_image_is_refused_again_under_another_name_or_with_a_changed_config"),
    (10, "signature for another digest", SIGNATURES, "a_signature_for_another_digest_does_not_release"),
    (10, "signature for another repository", SIGNATURES, "a_signature_made_for_another_repository_counts_only_where_the_identity_allows_it"),
    (10, "expired key", SIGNATURES, "a_key_whose_window_is_over_releases_nothing"),
    (10, "key that the policy no longer names; right form, wrong key", SIGNATURES, "a_signature_by_a_stranger_does_not_release_in_either_form"),
    (10, "certificate where a key is asked for", VERIFY, "check_2_a_certificate_never_enters_the_key_path"),
    (10, "presence-only dummy", SIGNATURES, "an_object_that_is_merely_present_does_not_release"),
    (10, "huge signature object; ten thousand signatures", SIGNATURES, "ten_thousand_signatures_and_one_of_64_mib_end_in_bounded_time_and_hide_no_good_one"),
    (11, "signature only on the index; only on a child", SIGNATURES, "a_signature_on_the_index_covers_its_children_and_one_on_a_child_covers_that_child_alone"),
    (11, "tag scheme and referrer that disagree", SIGNATURES, "a_bad_signature_in_one_form_neither_hides_nor_replaces_a_good_one_in_the_other"),
    (11, "fallback tag by an attacker with the push right", SIGNATURES, "a_fallback_tag_written_by_an_attacker_vouches_for_nothing"),
    (12, "User-Agent, X-Forwarded headers, robot names", VISIBILITY, "headers_that_clients_choose_change_no_answer"),
    (14, "two uploads of one digest at once", VISIBILITY, "two_uploads_of_one_digest_at_once_both_succeed"),
    (14, "cancelled upload in the middle of a scan", VISIBILITY, "a_cancelled_upload_leaves_nothing_and_blocks_nobody"),
    (14, "restart between verdict and commit", CRASH, "nothing_acknowledged_is_lost_and_nothing_staged_is_served_however_it_dies"),
    (14, "policy changed after the verdict", VISIBILITY, "a_policy_that_became_stricter_holds_for_what_was_staged_before_a_restart"),
    (14, "manifest before its blobs", VISIBILITY, "a_push_over_blobs_that_were_never_sent_is_refused"),
    (19, "prefix spoof, port variations, missing registry, other containers, templates, image volumes", ADMISSION, "only_what_is_released_starts_in_any_container_field_and_under_no_similar_name"),
    (19, "names that only look like ours", ADMISSION_UNIT, "names_that_only_look_like_ours_are_denied"),
    (19, "ephemeral and init containers", ADMISSION_UNIT, "every_container_field_is_looked_into"),
    (19, "UPDATE", ADMISSION_UNIT, "an_update_is_judged_unless_it_starts_nothing_new"),
    (19, "Job and CronJob templates", ADMISSION_UNIT, "every_workload_kind_is_looked_into"),
    (19, "broken requests", ADMISSION_UNIT, "what_cannot_be_understood_is_denied"),
];

#[test]
fn each_attack_of_the_list_has_its_test() {
    for (group, attack, file, test) in LIST {
        let text = fs::read_to_string(workspace().join(file)).unwrap_or_default();
        let declared = text.contains(&format!("fn {test}("));
        assert!(declared, "group {group}, {attack}: `{file}` has no test `{test}`");
    }
    for group in (1..=8).chain(10..=12).chain([14, 19]) {
        assert!(LIST.iter().any(|(listed, ..)| *listed == group), "group {group} has no test");
    }
}

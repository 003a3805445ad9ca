//! The frozen hash. The numbers were computed with Python's `xxhash`, from the table in `key.rs`:
//! `xxh3_64_intdigest(bytes, seed=(hash before + tag) % 2**64)`. They may never change.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::types::Int8Type;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Date64Array, Decimal128Array,
    DictionaryArray, FixedSizeBinaryArray, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array, LargeStringArray, NullArray, StringArray, StringViewArray,
    Time32SecondArray, Time64NanosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    TimestampSecondArray, UInt8Array, UInt64Array,
};
use arrow_schema::DataType;
use forebay_dataflow::key::{KEY_GROUPS, group, hash_rows, is_hashable, task};

fn hashed(columns: &[ArrayRef]) -> Vec<u64> {
    hash_rows(columns).expect("these are keys")
}

#[track_caller]
fn check(column: impl arrow_array::Array + 'static, hashes: &[u64]) {
    let column: ArrayRef = Arc::new(column);
    assert!(is_hashable(column.data_type()));
    assert_eq!(hashed(std::slice::from_ref(&column)), hashes);
    // A slice is hashed like the whole.
    assert_eq!(hashed(&[column.slice(1, column.len() - 1)]), hashes[1..]);
}

#[test]
fn integers_of_every_width_are_the_same() {
    check(
        Int8Array::from(vec![Some(0), Some(1), Some(-1), None]),
        &[
            0x13c3_c355_e8de_d66a,
            0x40ec_3339_838d_6d11,
            0x69ac_43b1_fe16_8c79,
            0x2d06_8005_38d3_94c2,
        ],
    );
    check(
        Int16Array::from(vec![Some(0), Some(1), Some(-1), None]),
        &[
            0x13c3_c355_e8de_d66a,
            0x40ec_3339_838d_6d11,
            0x69ac_43b1_fe16_8c79,
            0x2d06_8005_38d3_94c2,
        ],
    );
    check(
        Int32Array::from(vec![Some(0), Some(1), Some(-1), None]),
        &[
            0x13c3_c355_e8de_d66a,
            0x40ec_3339_838d_6d11,
            0x69ac_43b1_fe16_8c79,
            0x2d06_8005_38d3_94c2,
        ],
    );
    check(
        Int64Array::from(vec![Some(0), Some(1), Some(-1), None]),
        &[
            0x13c3_c355_e8de_d66a,
            0x40ec_3339_838d_6d11,
            0x69ac_43b1_fe16_8c79,
            0x2d06_8005_38d3_94c2,
        ],
    );
    check(
        UInt8Array::from(vec![Some(0), Some(1), None, Some(255)]),
        &[
            0x13c3_c355_e8de_d66a,
            0x40ec_3339_838d_6d11,
            0x2d06_8005_38d3_94c2,
            0x583f_dde8_14f4_da68,
        ],
    );
    check(
        UInt64Array::from(vec![0, 1, u64::MAX]),
        &[
            0x13c3_c355_e8de_d66a,
            0x40ec_3339_838d_6d11,
            0xa692_96be_964d_b6e3,
        ],
    );
}

#[test]
fn floating_points_have_one_zero_and_one_nan() {
    let values = vec![
        Some(0.0),
        Some(-0.0),
        Some(1.5),
        Some(f64::NAN),
        Some(-f64::NAN),
        None,
    ];
    check(
        Float64Array::from(values),
        &[
            0x3cae_c76b_0631_9273,
            0x3cae_c76b_0631_9273,
            0x4395_e0de_a9aa_5824,
            0x6220_533f_9e36_3d2f,
            0x6220_533f_9e36_3d2f,
            0x2d06_8005_38d3_94c2,
        ],
    );
    check(
        Float32Array::from(vec![Some(0.0), Some(-0.0), Some(1.5), None]),
        &[
            0x3cae_c76b_0631_9273,
            0x3cae_c76b_0631_9273,
            0x4395_e0de_a9aa_5824,
            0x2d06_8005_38d3_94c2,
        ],
    );
}

#[test]
fn text_is_the_same_in_every_form() {
    let long = "x".repeat(300);
    let text = || vec![Some(""), Some("JFK"), Some(&*long), None];
    check(
        StringArray::from(text()),
        &[
            0x388e_c5bd_0562_e095,
            0xc4b4_b92a_b718_cecd,
            0xd051_4304_799c_f8f7,
            0x2d06_8005_38d3_94c2,
        ],
    );
    check(
        LargeStringArray::from(text()),
        &[
            0x388e_c5bd_0562_e095,
            0xc4b4_b92a_b718_cecd,
            0xd051_4304_799c_f8f7,
            0x2d06_8005_38d3_94c2,
        ],
    );
    check(
        StringViewArray::from(text()),
        &[
            0x388e_c5bd_0562_e095,
            0xc4b4_b92a_b718_cecd,
            0xd051_4304_799c_f8f7,
            0x2d06_8005_38d3_94c2,
        ],
    );
    let bytes: Vec<Option<&[u8]>> = vec![Some(b""), Some(b"JFK"), None];
    check(
        BinaryArray::from(bytes),
        &[
            0x388e_c5bd_0562_e095,
            0xc4b4_b92a_b718_cecd,
            0x2d06_8005_38d3_94c2,
        ],
    );
    check(
        FixedSizeBinaryArray::try_from_iter(["JFK", "LGA"].iter()).expect("it fits"),
        &[0xc4b4_b92a_b718_cecd, 0xd12a_5704_887b_032e],
    );
    let dictionary = [Some("JFK"), None, Some("JFK"), Some("")].into_iter();
    check(
        dictionary.collect::<DictionaryArray<Int8Type>>(),
        &[
            0xc4b4_b92a_b718_cecd,
            0x2d06_8005_38d3_94c2,
            0xc4b4_b92a_b718_cecd,
            0x388e_c5bd_0562_e095,
        ],
    );
}

#[test]
fn times_are_the_same_in_every_unit() {
    check(
        TimestampSecondArray::from(vec![Some(1), Some(-1), None]),
        &[
            0x6869_c12c_e309_6389,
            0x77cd_9be2_12d4_41a5,
            0x2d06_8005_38d3_94c2,
        ],
    );
    check(
        TimestampMillisecondArray::from(vec![1000, -1000]).with_timezone("UTC"),
        &[0x6869_c12c_e309_6389, 0x77cd_9be2_12d4_41a5],
    );
    check(
        TimestampNanosecondArray::from(vec![1_000_000_000, 1]),
        &[0x6869_c12c_e309_6389, 0x1dbd_1990_7c27_3b60],
    );
    check(
        Date32Array::from(vec![Some(1), Some(-1), None]),
        &[
            0xd948_c046_fe30_ed82,
            0x39a7_fd87_13b3_232a,
            0x2d06_8005_38d3_94c2,
        ],
    );
    check(
        Date64Array::from(vec![86_400_000, -86_400_000]),
        &[0xd948_c046_fe30_ed82, 0x39a7_fd87_13b3_232a],
    );
    check(
        Time32SecondArray::from(vec![1, 2]),
        &[0x733f_3764_1a85_2900, 0xb5fd_8618_dee8_64d3],
    );
    check(
        Time64NanosecondArray::from(vec![1_000_000_000, 3]),
        &[0x733f_3764_1a85_2900, 0x9900_51f3_09a6_6836],
    );
}

#[test]
fn the_rest() {
    check(
        BooleanArray::from(vec![Some(false), Some(true), None]),
        &[
            0x5eaa_c1f7_b17e_f730,
            0x0e08_a51c_8536_156c,
            0x2d06_8005_38d3_94c2,
        ],
    );
    check(
        NullArray::new(2),
        &[0x2d06_8005_38d3_94c2, 0x2d06_8005_38d3_94c2],
    );
    let decimals = Decimal128Array::from(vec![Some(12345), Some(-1), None]);
    let decimals = decimals.with_precision_and_scale(10, 2).expect("it fits");
    check(
        decimals,
        &[
            0xa294_0a21_1728_ae75,
            0x8803_ba4c_c134_4cc1,
            0x2d06_8005_38d3_94c2,
        ],
    );
    let nulls = [None::<&str>; 2]
        .into_iter()
        .collect::<DictionaryArray<Int8Type>>();
    check(nulls, &[0x2d06_8005_38d3_94c2; 2]);
    let list = DataType::new_list(DataType::Int64, true);
    assert!(!is_hashable(&list));
    let refused = hash_rows(&[arrow_array::new_null_array(&list, 1)]).expect_err("it is no key");
    assert_eq!(refused.to_string(), format!("{list} cannot be a key"));
}

#[test]
fn columns_follow_each_other() {
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some("JFK"), Some("LGA"), None]));
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), None, Some(0)]));
    assert_eq!(
        hashed(&[text, numbers]),
        &[
            0xfde4_ceb6_9018_5d7c,
            0xa80e_90db_062c_924a,
            0xb497_2b3f_29e2_2af1
        ]
    );
}

#[test]
fn groups_and_tasks_are_ranges_of_the_hash() {
    assert_eq!(
        [0, u64::MAX, 0xc4b4_b92a_b718_cecd].map(group),
        [0, 4095, 3147]
    );
    assert_eq!(
        [0, 1365, 1366, 2730, 2731, 4095].map(|group| task(group, 3)),
        [0, 0, 1, 1, 2, 2]
    );
    for tasks in [1, 2, 3, 64, 1000] {
        let all: BTreeSet<_> = (0..KEY_GROUPS).map(|group| task(group, tasks)).collect();
        assert!(all.into_iter().eq(0..tasks), "{tasks} tasks");
    }
}

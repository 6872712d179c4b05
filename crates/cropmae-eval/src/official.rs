//! What complete downloads hold.

/// DAVIS-2017 val: 30 sequences of 1999 frames.
pub(crate) const DAVIS_VAL: [(&str, usize); 30] = [
    ("bike-packing", 69),
    ("blackswan", 50),
    ("bmx-trees", 80),
    ("breakdance", 84),
    ("camel", 90),
    ("car-roundabout", 75),
    ("car-shadow", 40),
    ("cows", 104),
    ("dance-twirl", 90),
    ("dog", 60),
    ("dogs-jump", 66),
    ("drift-chicane", 52),
    ("drift-straight", 50),
    ("goat", 90),
    ("gold-fish", 78),
    ("horsejump-high", 50),
    ("india", 81),
    ("judo", 34),
    ("kite-surf", 50),
    ("lab-coat", 47),
    ("libby", 49),
    ("loading", 50),
    ("mbike-trick", 79),
    ("motocross-jump", 40),
    ("paragliding-launch", 80),
    ("parkour", 100),
    ("pigs", 79),
    ("scooter-black", 43),
    ("shooting", 40),
    ("soapbox", 99),
];

/// Videos of VIP val, as the data set's page (sysu-hcp.net/lip, section 2.3) says: 304 train, 50 val, 50 test.
/// Not compared with the download.
pub(crate) const VIP_VAL: usize = 50;

/// Test clips of JHMDB's split 1, of 928 clips in 21 actions. Not compared with the download.
pub(crate) const JHMDB_TEST: usize = 268;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn davis_has_1999_frames_in_name_order() {
        assert_eq!(
            DAVIS_VAL.iter().map(|(_, frames)| frames).sum::<usize>(),
            1999
        );
        assert!(DAVIS_VAL.is_sorted());
    }
}

//! Tests of pixel_loss and masked_pixel_loss.

use candle_core::{Device, Tensor};
use cropmae_kernels::{masked_pixel_loss, pixel_loss};

use crate::support::{BACKENDS, bits, check, like, tensor, var};

#[test]
fn pixel_loss_matches() {
    for (b, r, v) in [(1, 1, 3), (2, 3, 48), (3, 40, 192)] {
        let target = tensor(&[b, r, v], 2);
        for norm_pix in [false, true] {
            check(&[var(&[b, r, v], 1)], |i| {
                pixel_loss(&i[0], &like(&target, &i[0]), norm_pix)
            });
        }
    }
}

#[test]
fn masked_pixel_loss_reads_the_rows_of_its_ids() {
    let (b, n, r, v) = (3, 9, 4, 12);
    let patches = tensor(&[b, n, v], 1);
    let ids: Vec<u32> = vec![8, 0, 3, 4, 1, 2, 3, 4, 0, 5, 7, 8];
    let ids = Tensor::from_vec(ids, (b, r), &Device::Cpu).unwrap();
    let index = ids.unsqueeze(2).unwrap().broadcast_as((b, r, v)).unwrap();
    let target = patches.gather(&index.contiguous().unwrap(), 1).unwrap();
    for norm_pix in [false, true] {
        check(&[var(&[b, r, v], 2)], |i| {
            masked_pixel_loss(&i[0], like(&patches, &i[0]), &ids, norm_pix)
        });
        let pred = tensor(&[b, r, v], 2);
        for backend in BACKENDS {
            let masked = || masked_pixel_loss(&pred, &patches, &ids, norm_pix).unwrap();
            let gathered = || pixel_loss(&pred, &target, norm_pix).unwrap();
            assert_eq!(bits(&backend.with(masked)), bits(&backend.with(gathered)));
        }
    }
}

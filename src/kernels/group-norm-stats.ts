import source from '../../wgsl/group-norm-stats.wgsl';
import { ceilDiv } from '../core/shape.ts';
import type { Caps } from '../gpu/caps.ts';
import { checkGroupNorm, type GroupNormProblem, groupNormChannels, groupNormSizes } from './group-norm.ts';
import { type KernelCall, storageBytes } from './kernel.ts';
import { inputLib } from './libs.ts';
import { flatRows, type RowRange, rowBinding } from './rows.ts';

const WORKGROUP = 64;

/**
 * Mean and squared deviations of each channel over each slab of pixels.
 * Bindings: x1, x2 (with one source: x1 again), partials f32.
 *
 * @throws ShapeError for bad sizes, or two sources with channels that are not multiples of 4
 */
export function groupNormStats(caps: Caps, problem: GroupNormProblem): KernelCall {
  checkGroupNorm('group-norm-stats', problem);
  const { images, pixels, sources, storage } = problem;
  const [first, second = first] = sources;
  const { slabPixels, slabs, pitch } = groupNormSizes(caps, problem);
  const columns = ceilDiv(groupNormChannels(sources), 4);
  const items = images * slabs * columns;
  const range: RowRange = (from, to) => {
    const last = Math.floor((Math.min(to * WORKGROUP, items) - 1) / columns);
    const row = (slab: number) => Math.floor(slab / slabs) * pixels + (slab % slabs) * slabPixels;
    return [
      row(Math.floor((from * WORKGROUP) / columns)),
      Math.min(row(last) + slabPixels, (Math.floor(last / slabs) + 1) * pixels),
    ];
  };
  const statistics: RowRange = (from, to) => {
    const [first, end] = flatRows(images * slabs, columns, WORKGROUP)(from, to);
    return [3 * first, 3 * end];
  };
  return {
    kernel: 'group-norm-stats',
    source,
    libs: [inputLib(storage)],
    values: { TWO: sources.length === 2 },
    bindings: [
      rowBinding('x1', 'read', { pitch: first.pitch, storage }, 'x1_base', range),
      rowBinding('x2', 'read', { pitch: second.pitch, storage }, 'x2_base', range),
      rowBinding('partials', 'write', { pitch, storage: 'f32' }, 'partials_base', statistics),
    ],
    params: {
      ...{ items, columns, split: Math.ceil(first.channels / 4) },
      ...{ pitch1: first.pitch / 4, pitch2: second.pitch / 4, out_pitch: pitch / 4 },
      ...{ pixels, slab_pixels: slabPixels, slabs },
    },
    tiles: ceilDiv(items, WORKGROUP),
    cost: { flops: images * pixels * columns * 16, bytes: images * pixels * columns * 4 * storageBytes(storage) },
  };
}

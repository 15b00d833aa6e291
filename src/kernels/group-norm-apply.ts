import source from '../../wgsl/group-norm-apply.wgsl';
import { alignUp, ceilDiv, ROW_ALIGN } from '../core/shape.ts';
import { checkGroupNorm, type GroupNormProblem, groupNormChannels } from './group-norm.ts';
import { type KernelCall, type Storage, storageBytes } from './kernel.ts';
import { ACTIVATION, type Activation, activationLib, inputLib, outputLib } from './libs.ts';
import { type RowRange, rowBinding } from './rows.ts';

const WORKGROUP = 64;
const BLOCK = 8;

/** A map and the factor and shift of each image and channel. */
export interface GroupNormApplyProblem extends GroupNormProblem {
  /** Form of y. */
  readonly output: Storage;
  /** What follows the norm, such as silu; default none. */
  readonly activation?: Activation | undefined;
}

/**
 * y = act(x * scale + shift). Bindings: x1, x2 (with one source: x1 again), scale_shift, y [N, P, pitch(C)].
 *
 * @throws ShapeError for bad sizes, or two sources with channels that are not multiples of 4
 */
export function groupNormApply(problem: GroupNormApplyProblem): KernelCall {
  checkGroupNorm('group-norm-apply', problem);
  const { images, pixels, sources, storage, output } = problem;
  const [first, second = first] = sources;
  const pitch = alignUp(groupNormChannels(sources), ROW_ALIGN);
  const columns = pitch / 4;
  const blocks = ceilDiv(pixels, BLOCK);
  const items = images * blocks * columns;
  const range: RowRange = (from, to) => {
    const row = (block: number) => Math.floor(block / blocks) * pixels + Math.min(pixels, (block % blocks) * BLOCK);
    const last = Math.floor((Math.min(to * WORKGROUP, items) - 1) / columns);
    return [
      row(Math.floor((from * WORKGROUP) / columns)),
      Math.min(row(last) + BLOCK, (Math.floor(last / blocks) + 1) * pixels),
    ];
  };
  const factors: RowRange = (from, to) => {
    const [first, end] = range(from, to);
    return [2 * Math.floor(first / pixels), 2 * (Math.floor((end - 1) / pixels) + 1)];
  };
  return {
    kernel: 'group-norm-apply',
    source,
    libs: [inputLib(storage), outputLib(output), activationLib],
    values: { TWO: sources.length === 2, ACTIVATION: ACTIVATION[problem.activation ?? 'none'] },
    bindings: [
      rowBinding('x1', 'read', { pitch: first.pitch, storage }, 'x1_base', range),
      rowBinding('x2', 'read', { pitch: second.pitch, storage }, 'x2_base', range),
      rowBinding('scale_shift', 'read', { pitch, storage: 'f32' }, 'scale_shift_base', factors),
      rowBinding('y', 'write', { pitch, storage: output }, 'y_base', range),
    ],
    params: {
      ...{ items, columns, split: Math.ceil(first.channels / 4) },
      ...{ pitch1: first.pitch / 4, pitch2: second.pitch / 4 },
      ...{ pixels, blocks },
    },
    tiles: ceilDiv(items, WORKGROUP),
    cost: {
      flops: images * pixels * pitch * 2,
      bytes: images * pixels * pitch * (storageBytes(storage) + storageBytes(output)),
    },
  };
}

/** Defects to plant: each a change of one place of a kernel's text that the fuzz must find. A text that changed fails their test. */

import type { Gpu } from '../../../src/gpu/device.ts';
import type { KernelCall } from '../../../src/kernels/kernel.ts';
import { Draw } from './draw.ts';
import type { Row } from './problem.ts';
import { Fuzz } from './run.ts';
import { runsOn, whereOf } from './series.ts';

/** A change of a kernel's text, or of a lib's that it appends. */
export interface Plant {
  /** Stem of the kernel that runs with it. */
  readonly kernel: string;
  readonly find: string;
  readonly put: string;
  /** Stays within the guards, so that by its own text the kernel can be run with it on a device that checks nothing. */
  readonly near?: true;
  /** How the names of the rows end that show it; default all rows of the kernel. */
  readonly rows?: string;
}

const plant = (kernel: string, find: string, put: string): Plant => ({ kernel, find, put });
/** Seen where a product is measured, or its K in parts: other rows would compile for minutes. */
const seenBy = (rows: string, kernel: string, find: string, put: string): Plant => ({ kernel, find, put, rows });
/** One place too far, into the guards. */
const near = (kernel: string, find: string, put: string): Plant => ({ kernel, find, put, near: true });

const LAST = 'if (i >= p.count) { return; }';
const BEHIND = 'if (i > p.count) { return; }';

/** At least one a kernel. */
export const PLANTS: readonly Plant[] = [
  plant('attention-broadcast', 'min(row0 + lane % ROWS, p.queries - 1u)', 'min(row0 + lane % ROWS, p.queries)'),
  near('attention-broadcast', 'for (var c = column; c < end;', 'for (var c = column; c <= end;'),
  plant(
    'attention-broadcast',
    'let far = key0 + min(lane % ROWS + ROWS, steps);',
    'let far = key0 + min(lane % ROWS + ROWS, steps + 1u);',
  ),
  plant('attention-broadcast', 'all[min(slot, 8u * BLOCKS - 1u)]', 'all[slot + 1u]'),
  plant('attention-broadcast-wide', 'vec4u(p.queries - 1u)', 'vec4u(p.queries)'),
  plant('attention-broadcast-wide', 'if (line >= p.queries) { break; }', 'if (line > p.queries) { break; }'),
  plant('attention-tile', 'let last = p.queries - 1u;', 'let last = p.queries;'),
  plant('attention-tile', 'if (column >= p.head4) { return; }', 'if (column > p.head4) { return; }'),
  plant('attention-tile', 'min(key0 + line, at.count - 1u)', 'min(key0 + line, at.count)'),
  plant('attention-tile', 'bias[bias_row + key.w]', 'bias[bias_row + key.w + 1u]'),
  plant('attention-tile', 'lengths[1]', 'lengths[min(p.dynamic, 2u) * 2u]'),
  plant('attention-matrix', 'if (row < p.queries && column < p.head4)', 'if (row <= p.queries && column < p.head4)'),
  plant('attention-matrix', 'let row = min(key, at.count - 1u);', 'let row = min(key, at.count);'),
  plant(
    'attention-matrix',
    'min(key0 + mask_key(thread, i), at.count - 1u)',
    'min(key0 + mask_key(thread, i), at.count)',
  ),
  plant('attention-matrix', 'vec4u(at.count - 1u)) + start', 'vec4u(at.count)) + start'),
  // Where the queries are bound in a window, row 0 of their batch may lie before it; half of a number below 0 is far away.
  plant(
    'attention-matrix',
    'u32(i32(place.batch * p.queries * p.q_pitch + p.q_offset + head4 - p.q_base) >> 1u)',
    '(place.batch * p.queries * p.q_pitch + p.q_offset + head4 - p.q_base) / 2u',
  ),
  near('blend-edge', LAST, BEHIND),
  plant('blend-edge', 'p.near_top + y)', 'p.near_top + y + 1u)'),
  plant('cache-append', 'if (position < p.capacity)', 'if (position <= p.capacity)'),
  plant('cache-gather', 'p.group - 1u', 'p.group'),
  plant('cache-gather', 'r < p.group; r++) { held[r]', 'r <= p.group; r++) { held[r]'),
  plant('conv-tile', 'clamp(x, 0, i32(p.in_w) - 1)', 'clamp(x, 0, i32(p.in_w))'),
  plant('conv-tile', '&& line < p.out_h', '&& line <= p.out_h'),
  plant('conv-tile', '3u * (ty + ky)', '3u * (ty + ky + 3u)'),
  seenBy('normalized', 'conv-tile', '(2u * image + thread / 8u % 2u)', '(2u * image + thread / 8u % 3u)'),
  seenBy('normalized', 'conv-tile', 'min(k + 8u, p.k - 8u)', 'k + 8u'),
  near('copy', 'if (i >= p.items) { return; }', 'if (i > p.items) { return; }'),
  near('copy', 'if (channel < p.count1)', 'if (channel <= p.count1)'),
  plant('clean-bound', 'let at = 2u * image - p.bound_base', 'let at = 2u * image + 1u - p.bound_base'),
  plant('clean-bound', 'i < p.count; i += WORKGROUP) { count', 'i <= p.count; i += WORKGROUP) { count'),
  near('draw-latents', LAST, BEHIND),
  plant('draw-latents', 'first + k >= end', 'first + k > end'),
  plant('draw-latents', 'p.pixels % p.pictures * p.pixels', 'p.pixels * p.pixels'),
  near('elementwise-binary', LAST, BEHIND),
  plant('elementwise-binary', 'row / p.b_divide % p.b_modulo', 'row / p.b_divide'),
  near('elementwise-unary', LAST, BEHIND),
  near('elementwise-unary', 'column - p.x_base', 'column + 1u - p.x_base'),
  near('embedding', LAST, BEHIND),
  plant('embedding', 'if (slot < p.window_rows)', 'if (slot <= p.window_rows)'),
  plant('first-nonfinite', LAST, BEHIND),
  plant('fold-doubling', LAST, BEHIND),
  plant('fold-doubling', '9u * p.tap', '10u * p.tap'),
  near('gather-columns', 'i >= p.count', 'i > p.count'),
  plant('gather-columns', 'min(ids[j], p.rows - 1u)', 'min(ids[j], p.rows)'),
  plant('gather-columns', 'if (j >= p.n)', 'if (j > p.n)'),
  plant('gemm-broadcast', 'row0 + i < p.rows; i++', 'row0 + i <= p.rows; i++'),
  plant('gemm-broadcast', 'let clamped = min(column, p.columns4 - 1u);', 'let clamped = min(column, p.columns4);'),
  plant('gemm-broadcast', 'let inside = min(row, p.rows - 1u);', 'let inside = min(row, p.rows);'),
  plant('gemm-broadcast', 'ix < (p.in_w << p.grow)', 'ix <= (p.in_w << p.grow)'),
  plant(
    'gemm-broadcast',
    'row / p.rows_per_image * p.channel_pitch',
    '(row / p.rows_per_image + 1u) * p.channel_pitch',
  ),
  plant(
    'gemm-tile',
    'if (row >= p.rows || column >= p.columns4) { return vec4f(0.0); }',
    'if (row > p.rows || column >= p.columns4) { return vec4f(0.0); }',
  ),
  near('gemm-tile', 'bias_at(known)', 'bias_at(known + 1u)'),
  plant(
    'gemm-tile',
    'b_tile[b_line * COLUMNS4 + b_local] = weight_load(w.w0);',
    'b_tile[(b_line + LINES * LOADS) * COLUMNS4 + b_local] = weight_load(w.w0);',
  ),
  // Parts of K, which count as the products of a doubling do, and what is measured.
  seenBy('conv2d/gemm-tile split', 'gemm-tile', 'if (CONV && p.doubled != 0u)', 'if (CONV && p.phases != 1u)'),
  seenBy(
    'measured',
    'gemm-tile',
    'if (column < p.columns4) { store_moments',
    'if (column <= p.columns4) { store_moments',
  ),
  seenBy(
    'measured',
    'gemm-broadcast',
    '&& column < p.columns4) { store_moments',
    '&& column <= p.columns4) { store_moments',
  ),
  // Slabs of a doubling, which lie side by side, and of a patch, which are two lines high.
  seenBy('conv2d/gemm-tile measured', 'gemm-tile', 'row / SLAB * 4u + batch', 'row / SLAB * 4u + batch + 1u'),
  seenBy('conv2d/gemm-broadcast measured', 'gemm-broadcast', 'row / SLAB * 4u + batch', 'row / SLAB * 4u + batch + 1u'),
  seenBy('measured', 'conv-tile', '+ line) / 2u * across', '+ line + 2u) / 2u * across'),
  seenBy('measured', 'gemm-matrix', 'y_column < p.columns4) { store_', 'y_column <= p.columns4) { store_'),
  plant(
    'gemm-matrix',
    'if (row >= p.rows || column >= p.columns4) { return vec4f(0.0); }',
    'if (row > p.rows || column >= p.columns4) { return vec4f(0.0); }',
  ),
  plant('gemm-matrix', 'select(p.k, p.k / 8u, ALONG) - 1u', 'select(p.k, p.k / 8u, ALONG)'),
  plant('gemm-matrix', 'clamp(y, 0, i32(p.in_h << p.grow) - 1)', 'clamp(y, 0, i32(p.in_h << p.grow))'),
  plant('gemv-broadcast', 'if (column >= p.columns4) { return; }', 'if (column > p.columns4) { return; }'),
  plant('gemv-broadcast', 'min(row, p.rows - 1u)', 'min(row, p.rows)'),
  near('gemv-broadcast', 'y[at] = output_store(v);', 'y[at + 1u] = output_store(v);'),
  plant(
    'gemv-tile',
    'if (row >= p.rows || column >= p.columns4) { return; }',
    'if (row > p.rows || column >= p.columns4) { return; }',
  ),
  plant('gemv-tile', 'thread + 8u * half]', 'thread + 16u * half * some]'),
  near('group-norm-apply', 'if (item >= p.items) { return; }', 'if (item > p.items) { return; }'),
  plant('group-norm-apply', 'min(start + BLOCK, p.pixels)', 'start + BLOCK'),
  near('group-norm-finalize-broadcast', 'c < first + p.group_channels', 'c <= first + p.group_channels'),
  near('group-norm-finalize-broadcast', 'for (var i = lane; i < parts;', 'for (var i = lane; i <= parts;'),
  near('group-norm-finalize-tile', 'c < first + p.group_channels', 'c <= first + p.group_channels'),
  plant('group-norm-finalize-tile', 'i < LANES; i += SHARERS', 'i <= LANES; i += SHARERS'),
  plant('group-norm-finalize-broadcast', 'select(p.pitch1, p.pitch2, second)', 'max(p.pitch1, p.pitch2) + 1u'),
  plant('group-norm-finalize-tile', 'local / 4u * 6u', 'local / 4u * 8u'),
  near('group-norm-merge', 'if (item >= p.items) { return; }', 'if (item > p.items) { return; }'),
  plant('group-norm-merge', 'min(p.together, p.slabs - first)', 'p.together'),
  near('group-norm-stats', 'if (item >= p.items) { return; }', 'if (item > p.items) { return; }'),
  plant('group-norm-stats', 'for (; k < count; k++)', 'for (; k <= count; k++)'),
  near('guidance-rescale', 'i < p.count; i += LANES) { e[own + i]', 'i <= p.count; i += LANES) { e[own + i]'),
  plant('guidance-rescale', 'sums[lane + width]', 'sums[lane + 2u * width]'),
  near('guided-noise', LAST, BEHIND),
  near('guided-step', LAST, BEHIND),
  plant('guided-step', 'min(step.reference, p.frames - 1u)', 'min(step.reference, p.frames)'),
  plant('guided-step', 'bound[2u * (i /', 'bound[2u + 2u * (i /'),
  plant('history-store', 'step.history >= p.entries', 'step.history > p.entries'),
  near('layer-norm-broadcast', 'c < p.y_pitch', 'c <= p.y_pitch'),
  plant('layer-norm-tile', 'if (row >= p.rows) { return; }', 'if (row > p.rows) { return; }'),
  plant('layer-norm-tile', 'i < LANES; i += SHARERS', 'i <= LANES; i += SHARERS'),
  near('linear-step', LAST, BEHIND),
  plant('linear-step', 'let first = i * SLOTS', 'let first = (i + 1u) * SLOTS'),
  plant('linear-step', 'bound[2u * (i /', 'bound[2u + 2u * (i /'),
  plant('mask-cleanup', 'y < i32(p.height)', 'y <= i32(p.height)'),
  plant('mask-cleanup', 'y >= 0 &&', 'y >= -1 &&'),
  near('mask-map', LAST, BEHIND),
  plant('mask-map', '4u * column < p.channels', '4u * column < p.channels + 4u'),
  near('mask-threshold', 'i < p.pixels; i += WORKGROUP', 'i <= p.pixels; i += WORKGROUP'),
  plant('mask-threshold', 'shared_sums[lane + width]', 'shared_sums[lane + 2u * width]'),
  near('noised-blend', LAST, BEHIND),
  plant('noised-blend', 'mask[2u * (i /', 'mask[2u + 2u * (i /'),
  plant('pack-weight', 'if (row < p.rows &&', 'if (row <= p.rows &&'),
  plant('pack-weight', 'to >= p.columns', 'to > p.columns'),
  plant('pack-weight', 'if (row >= p.rows) { return 0u; }', 'if (row > p.rows) { return 0u; }'),
  plant('pack-weight', 'block[thread * 33u + c]', 'block[thread * 34u + c]'),
  near('softmax-broadcast', 'c < p.y_pitch', 'c <= p.y_pitch'),
  plant('softmax-tile', 'if (row >= p.rows) { return; }', 'if (row > p.rows) { return; }'),
  near('sum-parts', 'if (row < p.rows && column', 'if (row <= p.rows && column'),
  plant('sum-parts', 'row0 < p.rows && column < p.columns4)', 'row0 < p.rows && column <= p.columns4)'),
  plant('sum-parts', 'min(row0 + i, p.rows - 1u)', 'min(row0 + i, p.rows)'),
  plant('sum-parts', 'partials[at + 2u * p.columns4]', 'partials[at + 3u * p.columns4]'),
  plant('top-k', '4u * c < p.width', '4u * c <= p.width'),
  plant('top-k', 'if (lane < 16u)', 'if (lane < 17u)'),
  near('upsample-nearest', LAST, BEHIND),
  near('upsample-nearest', '* p.in_w + ix', '* p.in_w + ix + 1u'),
];

const PER_BATCH = 16;
/** Of each row of the kernel. */
const BATCHES = 13;
/** Batches before what is compiled in takes its next turn: the first are the quickest to compile. */
const BEFORE_OTHERS = 3;

/** A text without its comments, which plants do not look into. */
export function bare(text: string): string {
  return text.replace(/\/\/.*$/gm, '');
}

/** The call with the defect; undefined where none of its texts has the place. */
function planted(call: KernelCall, { find, put }: Plant): KernelCall | undefined {
  const swap = (text: string) => bare(text).replace(find, () => put);
  const texts = [call.source, ...call.libs];
  if (!texts.some(text => bare(text).includes(find))) return undefined;
  return { ...call, source: swap(call.source), libs: call.libs.map(swap) };
}

/**
 * Runs problems of the kernel with the defect until one of them shows it.
 * @param runs watched; or by its own text between guards, for defects that are near
 * @returns the finding; '' where none came
 */
export async function findPlant(
  gpu: Gpu,
  rows: readonly Row[],
  plant: Plant,
  runs: 'watched' | 'guarded',
): Promise<string> {
  const shows = ({ name, kernel }: Row) => kernel === plant.kernel && name.endsWith(plant.rows ?? '');
  const own = rows.filter(row => shows(row) && runsOn(gpu, row));
  const fuzz = new Fuzz(gpu);
  try {
    for (let batch = 0; batch < BATCHES * own.length; batch++) {
      const row = own[batch % own.length] as Row;
      const seed = `${plant.kernel}:${plant.put}:${batch}`;
      const sizes = row.forms(new Draw(seed, Math.floor(batch / own.length / BEFORE_OTHERS)), whereOf(gpu));
      if (!sizes) continue;
      const problems = Array.from({ length: PER_BATCH }, (_, i) => sizes(new Draw(`${seed}:${i}`)));
      const changed = problems.flatMap(problem => {
        const call = planted(problem.call, plant);
        return call ? [{ ...problem, call }] : [];
      });
      if (changed.length === 0) continue;
      const found = (await fuzz.run(changed, new Draw(seed), runs)).find(finding => finding !== '');
      if (found) return found;
    }
    return '';
  } finally {
    fuzz.dispose();
  }
}

import source from '../../wgsl/history-store.wgsl';
import type { Caps } from '../gpu/caps.ts';
import { frameGroups } from './frames.ts';
import type { KernelCall } from './kernel.ts';
import { requirePitch, requireSizes, vec4Binding } from './rows.ts';
import { stepLib } from './step.ts';

/** Latents, and the frame of the history that they become. */
export interface HistoryStoreProblem {
  /** Rows of x: N * H * W. */
  readonly rows: number;
  /** Elements, of x and of history. */
  readonly pitch: number;
  /** T; an index of `step` beyond it writes nothing. */
  readonly entries: number;
}

const WORKGROUP = 64;

/**
 * history[step.historyIndex] = x. Bindings: x f32 [rows, pitch], step, history f32 [entries, rows, pitch].
 *
 * @throws ShapeError for bad sizes or pitch
 */
export function historyStore(
  caps: Pick<Caps, 'maxBindingBytes'>,
  { rows, pitch, entries }: HistoryStoreProblem,
): KernelCall {
  requireSizes('history-store', { rows, entries });
  requirePitch('history-store', 'x', { width: pitch, pitch });
  const count = (rows * pitch) / 4;
  const frame = { count: entries, size: count, elementBytes: 16, items: count, tileItems: WORKGROUP };
  const { frames, groupTiles, tiles, items, span } = frameGroups(caps, frame);
  return {
    kernel: 'history-store',
    source,
    libs: [stepLib],
    values: {},
    bindings: [
      vec4Binding('x', 'read', 'f32', 'x_base', items),
      { name: 'step', access: 'read' },
      vec4Binding('history', 'update', 'f32', 'history_base', span(items)),
    ],
    params: { count, entries, group_tiles: groupTiles, group_frames: frames },
    tiles,
    cost: { flops: 0, bytes: rows * pitch * 8 },
  };
}

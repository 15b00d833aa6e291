import source from '../../wgsl/history-store.wgsl';
import { ceilDiv } from '../core/shape.ts';
import type { KernelCall } from './kernel.ts';
import { requirePitch, requireSizes } from './rows.ts';
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
export function historyStore({ rows, pitch, entries }: HistoryStoreProblem): KernelCall {
  requireSizes('history-store', { rows, entries });
  requirePitch('history-store', 'x', { width: pitch, pitch });
  const count = (rows * pitch) / 4;
  return {
    kernel: 'history-store',
    source,
    libs: [stepLib],
    values: {},
    bindings: [
      { name: 'x', access: 'read' },
      { name: 'step', access: 'read' },
      { name: 'history', access: 'update' },
    ],
    params: { count, entries },
    tiles: ceilDiv(count, WORKGROUP),
    cost: { flops: 0, bytes: rows * pitch * 8 },
  };
}

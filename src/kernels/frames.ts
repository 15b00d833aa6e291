/**
 * Frames of which a step's number, known only when the kernel runs, names one: the history of an inversion, the reference of an edit.
 * Where all of them exceed one binding, tiles count through groups of frames that fit, and those of the other groups do nothing.
 */
import { ceilDiv } from '../core/shape.ts';
import { SLICE_ALIGN } from '../gpu/buffer.ts';
import type { Caps } from '../gpu/caps.ts';
import type { RowRange } from './rows.ts';

/** How frames are grouped, and what a range of tiles touches. */
export interface FrameGroups {
  /** Frames of a group: all of them where they fit one binding. */
  readonly frames: number;
  /** Tiles of one group. */
  readonly groupTiles: number;
  /** Tiles of all groups. */
  readonly tiles: number;
  /** Items within a frame that tiles touch. */
  readonly items: RowRange;
  /** Elements of the frames' buffer that tiles touch, where `within` are those of one frame that they touch. */
  readonly span: (within: RowRange) => RowRange;
}

/** What the frames hold, and the tiles that go over one. */
export interface Frames {
  /** T: frames in all. */
  readonly count: number;
  /** Elements of a frame. */
  readonly size: number;
  /** Bytes of an element. */
  readonly elementBytes: number;
  /** What tiles go over, one frame's worth. */
  readonly items: number;
  /** Items of a tile. */
  readonly tileItems: number;
}

/** Groups of frames that fit a binding each; one of all frames where they fit. */
export function frameGroups(caps: Pick<Caps, 'maxBindingBytes'>, f: Frames): FrameGroups {
  const { count, size, items, tileItems } = f;
  const bytes = size * f.elementBytes;
  const fitting = Math.max(1, Math.floor((caps.maxBindingBytes - SLICE_ALIGN) / bytes));
  const frames = count * bytes <= caps.maxBindingBytes ? count : Math.min(count, fitting);
  const groupTiles = ceilDiv(items, tileItems);
  const groupOf = (tile: number) => Math.floor(tile / groupTiles);
  const within: RowRange = (first, end) => {
    if (groupOf(first) !== groupOf(end - 1)) return [0, items];
    const start = (first % groupTiles) * tileItems;
    return [start, Math.min(items, start + (end - first) * tileItems)];
  };
  return {
    ...{ frames, groupTiles, tiles: groupTiles * ceilDiv(count, frames) },
    items: within,
    span: part => (first, end) => {
      const [from, to] = part(first, end);
      const last = Math.min(count, (groupOf(end - 1) + 1) * frames) - 1;
      return [groupOf(first) * frames * size + from, last * size + to];
    },
  };
}

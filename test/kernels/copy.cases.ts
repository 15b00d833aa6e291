/** `parts`: width of each source with the channels [first, first + channels) taken. `y`: width, and channels in front. */
export interface CopyCase {
  name: string;
  items: number;
  itemRows: number;
  parts: { width: number; first: number; channels: number }[];
  repeat?: { items: number; order: 'consecutive' | 'interleaved' };
  source?: { first: number; stride: number };
  target?: { first: number; stride: number };
  /** Channels of y that stand before the ones written, and its whole width where that is more. */
  before?: number;
  width?: number;
}

export const copyCases: CopyCase[] = [
  { name: 'one row', items: 1, itemRows: 1, parts: [{ width: 1, first: 0, channels: 1 }] },
  { name: 'channels from an odd one on', items: 1, itemRows: 37, parts: [{ width: 29, first: 3, channels: 22 }] },
  {
    name: 'two sources side by side, unaligned',
    items: 1,
    itemRows: 41,
    parts: [
      { width: 13, first: 0, channels: 13 },
      { width: 31, first: 5, channels: 18 },
    ],
  },
  {
    name: 'two sources of whole vec4s',
    items: 1,
    itemRows: 260,
    parts: [
      { width: 24, first: 0, channels: 24 },
      { width: 16, first: 0, channels: 16 },
    ],
  },
  {
    name: 'each item three times, one after the other',
    items: 6,
    itemRows: 35,
    parts: [{ width: 4, first: 0, channels: 4 }],
    repeat: { items: 2, order: 'consecutive' },
  },
  {
    name: 'all items three times, in turn',
    items: 6,
    itemRows: 35,
    parts: [{ width: 4, first: 0, channels: 4 }],
    repeat: { items: 2, order: 'interleaved' },
  },
  {
    name: 'some rows of each item',
    items: 3,
    itemRows: 5,
    parts: [{ width: 9, first: 0, channels: 9 }],
    source: { first: 2, stride: 11 },
    target: { first: 1, stride: 6 },
  },
  {
    name: 'channels behind others',
    items: 1,
    itemRows: 19,
    parts: [{ width: 10, first: 1, channels: 7 }],
    before: 12,
    width: 40,
  },
];

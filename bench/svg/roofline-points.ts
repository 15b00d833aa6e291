/** What a roofline draws, its layout, and the marks that plot and legend share. */
import type { Bound, KernelRow } from '../schema.ts';
import { type ChartData, hasSpeed } from './chart-data.ts';
import { node } from './elements.ts';

/** Where things are, in pixels. */
export interface Layout {
  readonly width: number;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  /** Of the legend: 1 where it is narrow. */
  readonly columns: number;
}

/** A row that has a speed, with its number and place. */
export interface Point {
  readonly row: KernelRow;
  readonly number: number;
  readonly x: number;
  readonly y: number;
  /** Class of its operation. */
  readonly kind: string;
}

/** A ceiling of arithmetic. */
export interface Roof {
  readonly name: Bound;
  readonly gflops: number;
}

/** Radius of a row's mark. */
export const MARK = 5;

/** Every peer's row of that name which ran right. */
export function peersOf(data: ChartData, name: string): { readonly index: number; readonly gflops: number }[] {
  return data.peers.flatMap(({ rows }, index) => {
    const row = rows.find(one => one.name === name);
    return row && hasSpeed(row) && row.gflops !== null ? [{ index, gflops: row.gflops }] : [];
  });
}

/** The ceilings of arithmetic that the device has. */
export function roofsOf({ ceilings }: ChartData): Roof[] {
  const names = ['fmaF32', 'fmaF16', 'matrix'] as const;
  return names.flatMap(name => {
    const gflops = ceilings[name];
    return gflops === null ? [] : [{ name, gflops }];
  });
}

/** A path of straight lines. */
export function path(...points: readonly (readonly [number, number])[]): string {
  return points.map(([x, y], i) => `${i === 0 ? 'M' : 'L'}${x.toFixed(1)} ${y.toFixed(1)}`).join('');
}

/** The n-th peer's: triangle, square, diamond. */
export function peerMark(index: number, x: number, y: number, kind: string): string {
  const r = 4;
  const corners: readonly (readonly [number, number])[] =
    [
      [
        [x, y - r - 0.5],
        [x + r + 0.5, y + r - 0.5],
        [x - r - 0.5, y + r - 0.5],
      ] as const,
      [
        [x - r + 0.5, y - r + 0.5],
        [x + r - 0.5, y - r + 0.5],
        [x + r - 0.5, y + r - 0.5],
        [x - r + 0.5, y + r - 0.5],
      ] as const,
      [
        [x, y - r - 1],
        [x + r + 1, y],
        [x, y + r + 1],
        [x - r - 1, y],
      ] as const,
    ][index % 3] ?? [];
  return node('path', { class: `hollow ${kind}`, d: `${path(...corners)}Z` });
}

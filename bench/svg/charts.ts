/** The charts of a benchmark's file, by the names of their files. */
import type { BenchFile } from '../schema.ts';
import { bars } from './bars.ts';
import { roofline } from './roofline.ts';

/** SVG texts by file names; the same file gives the same bytes. */
export function chartsOf(file: BenchFile): Readonly<Record<'roofline.svg' | 'bars.svg', string>> {
  return { 'roofline.svg': roofline(file), 'bars.svg': bars(file) };
}

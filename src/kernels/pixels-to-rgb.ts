import type { Storage } from './kernel.ts';

export interface PixelsToRgbProblem {
  readonly storage: Storage;
}

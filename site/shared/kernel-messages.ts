/** What a page and its worker say to each other while kernels are measured. */
import type { BenchFile, Ceilings, Feature, KernelRow } from '../../bench/schema.ts';

/** What is known before anything is measured. */
export type KernelHead = Omit<BenchFile, 'ceilings' | 'rows' | 'networks' | 'peers'>;

/** What the page asks. */
export interface KernelRequest {
  readonly kernels: 'measure';
  /** Features that the device is made to do without. */
  readonly without: readonly Feature[];
  /** Rows whose names match; default all. */
  readonly only?: RegExp | undefined;
  /** Where answers go, and where the word to stop comes from. */
  readonly port: MessagePort;
}

/** What the worker tells, a message each, in this order. */
export type KernelMessage =
  | { readonly head: KernelHead; readonly of: number }
  | { readonly ceilings: Ceilings }
  | { readonly row: KernelRow }
  | { readonly done: true }
  | { readonly error: string };

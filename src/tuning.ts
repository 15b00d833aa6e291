/**
 * `pentimento/tuning`: which kernels a device runs best by, measured once: the problems of a model, the tuner, its tables, and those that a
 * page keeps. In Node tables are kept by `pentimento/node`. @module
 */
export type { AbortSignalLike } from './core/platform.ts';
export type { FolderSource } from './core/tensor-source.ts';
export type { Caps } from './gpu/caps.ts';
export type { DeviceChoice, DeviceTuning, DeviceTuningTable } from './gpu/device-tuning.ts';
export { type ModelProblemsOptions, type ModelTask, problemsOf, taskOf } from './pipeline/problems/model-problems.ts';
export { KERNELS_HASH, LIBRARY_VERSION } from './tuning/built-from.ts';
export type { Clock } from './tuning/clock.ts';
export { type Heard, HeardProblems } from './tuning/heard.ts';
export {
  type KeptTuning,
  type KeptTuningOptions,
  keepTuning,
  keptTuning,
  listKeptTuning,
  removeKeptTuning,
} from './tuning/kept-in-page.ts';
export { parseTuningTable } from './tuning/read-table.ts';
export type {
  AdapterNames,
  ChoiceFigures,
  DeviceFacts,
  MeasuredChoice,
  TuningTable,
} from './tuning/table.ts';
export { type TuneOptions, type TuneProgress, tune } from './tuning/tune.ts';

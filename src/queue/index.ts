/**
 * `pentimento/queue`: edits that wait in a queue, and workers that make them, on BullMQ with Valkey or Redis. Needs the packages bullmq and
 * ioredis, and for numbers prom-client. @module
 */
export type { JsonValue } from '../core/canonical-json.ts';
export type { PictureHandling, PlainEdit, SettledEdit } from '../pipeline/batch/plain-edit.ts';
export { REDIS_VARIABLE, type ServerOptions } from './connection.ts';
export type { JobFailure } from './failures.ts';
export {
  checkJob,
  type FleetJob,
  type FleetRequest,
  type FolderTarget,
  JOB_VERSION,
  type JobFile,
  jobOf,
  queueNameOf,
  RESULTS_VERSION,
} from './job.ts';
export { FleetMetrics, type MetricsServer, type Outcome } from './metrics.ts';
export { type HashedEmbedding, type HashedLora, type HashOptions, type ModelSettings, modelKey } from './model-key.ts';
export type { FleetModel, OpenFleetModel } from './models.ts';
export type { Decode } from './next-picture.ts';
export {
  type FailedJob,
  FleetQueue,
  type JobState,
  type ModelStatus,
  openQueue,
  type QueueOptions,
  type SubmitOptions,
  type Submitted,
  type WaitEvent,
} from './queue.ts';
export type { PresignedTarget } from './result-store.ts';
export { existsUri, fetchUri, putUri, type Resolve, type ResolvedAddress, type TransferOptions } from './transfer.ts';
export { TransferError } from './transfer-error.ts';
export { shownUri, UriRules, type UriRulesOptions } from './uri-rules.ts';
export { type FleetEvent, FleetWorker, type FleetWorkerOptions, startFleetWorker } from './worker.ts';

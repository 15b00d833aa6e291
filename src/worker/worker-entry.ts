/** What a worker of this library runs, all in one file: `createWorkerPipeline` starts it. @module */
import { serveWorker } from './serve-worker.ts';

serveWorker();

/** `pentimento worker`: makes the edits of a queue, one after the other, until it is told to end. */

import { resolve } from 'node:path';
import { Command, Option } from 'commander';
import { PentimentoError } from '../core/errors.ts';
import type { MetricsServer } from '../queue/metrics.ts';
import type { FleetModel } from '../queue/models.ts';
import type { FleetEvent, FleetWorker } from '../queue/worker.ts';
import { parseBytes } from './bytes.ts';
import type { Outside } from './command.ts';
import { fleetModel } from './fleet-model.ts';
import { addQueueOptions, type QueueOptionsTyped } from './fleet-options.ts';
import { integer } from './option-values.ts';
import { addDeviceOptions, addMemoryOptions, addModelManner, addModelSource, type ModelOptions } from './options.ts';
import { checkOutput } from './output.ts';
import { packageVersion } from './package-root.ts';
import { createProgress, type Progress } from './progress.ts';
import { inCommandWords } from './words.ts';

interface WorkerOptions extends Omit<ModelOptions, 'model' | 'seed' | 'preset'>, QueueOptionsTyped {
  readonly model?: readonly string[];
  readonly output: string;
  readonly allow?: readonly string[];
  readonly privateAddresses?: boolean;
  readonly maxFile?: number;
  readonly metricsPort?: number;
  readonly grace: number;
  readonly lock: number;
  readonly untilEmpty?: boolean;
}

/** The command with all its options. */
export function workerCommand(outside: Outside): Command {
  const several = (text: string, before: readonly string[] = []): string[] => [...before, text];
  const command = addQueueOptions(
    new Command('worker').description(
      'Make the edits that wait in a queue, one after the other: a worker for each card.',
    ),
  )
    .option('-o, --output <folder>', 'folder of results, which no job leaves', 'results')
    .option(
      '--allow <uri>',
      'beginning of URIs that jobs may name, such as file:///data/in/ or https://bucket.example.com/; may be given several times (default: none)',
      several,
    )
    .option('--private-addresses', 'let jobs name addresses of this machine and its network, where --allow names them')
    .addOption(new Option('--max-file <size>', 'of a picture that a job names (default: 64MiB)').argParser(parseBytes))
    .option('--metrics-port <n>', 'numbers for Prometheus on 127.0.0.1 at this port', integer(0, 65_535))
    .option('--grace <seconds>', 'from the signal to end until the edit is done or handed back', integer(0, 3600), 30)
    .option('--lock <seconds>', 'after which the job of a silent worker is given to another', integer(2, 3600), 30)
    .option('--until-empty', 'end when no job is left');
  command
    .optionsGroup('Model and device:')
    .option('--model <dir, file or id>', 'as of edit; may be given several times: one is loaded at a time', several);
  addDeviceOptions(addModelSource(command));
  addMemoryOptions(addModelManner(command), { chosenTiles: false });
  return command.action((o: WorkerOptions) => serve(o, outside));
}

async function serve(o: WorkerOptions, outside: Outside): Promise<void> {
  const { FleetMetrics, openQueue, UriRules, startFleetWorker } = await import('../queue/index.ts');
  checkOutput(`${o.output}/id.json`, ['.json']);
  const progress = createProgress(outside.stderr);
  const rules = new UriRules({ allow: o.allow, privateAddresses: o.privateAddresses, maxBytes: o.maxFile });
  // A server that refuses is known before gigabytes are read.
  await (await openQueue({ queue: o.queue, redis: o.redis })).close();
  const models = await modelsOf(o, progress, outside.signal);
  const metrics = o.metricsPort === undefined ? undefined : await FleetMetrics.create();
  let listening: MetricsServer | undefined;
  let worker: FleetWorker | undefined;
  try {
    if (metrics && o.metricsPort !== undefined) {
      listening = await metrics.listen(o.metricsPort);
      progress.note(`Numbers for Prometheus: http://127.0.0.1:${listening.port}/metrics`);
    }
    const output = resolve(o.output);
    worker = await startFleetWorker({
      ...{ queue: o.queue, redis: o.redis, models, output, rules, metrics, program: packageVersion() },
      lockMs: o.lock * 1000,
      onEvent: event => tell(event, o.json === true, progress, outside),
      onProgress: progress.report,
    });
    for (const { id, key } of models) progress.note(`Serving ${o.queue} with ${id}, key ${key}.`);
    await ended(worker, o, outside.signal);
  } finally {
    await worker?.close({ graceMs: o.grace * 1000 });
    listening?.close();
    progress.stop();
  }
}

/** Until the signal, or until there is nothing left where that was asked for. */
async function ended(worker: FleetWorker, o: WorkerOptions, signal: AbortSignal): Promise<void> {
  const stopped = new Promise<void>(done => {
    if (signal.aborted) done();
    else signal.addEventListener('abort', () => done(), { once: true });
    worker.broken.addEventListener('abort', () => done(), { once: true });
  });
  await (o.untilEmpty ? Promise.race([stopped, worker.empty(signal).catch(() => undefined)]) : stopped);
  worker.broken.throwIfAborted();
}

async function modelsOf(o: WorkerOptions, progress: Progress, signal: AbortSignal): Promise<FleetModel[]> {
  const models: FleetModel[] = [];
  for (const model of o.model ?? [undefined]) {
    const { model: _, ...rest } = o;
    const options = { ...rest, preset: 'diffusers', ...(model === undefined ? {} : { model }) } satisfies ModelOptions;
    models.push(await fleetModel(options, progress, signal));
  }
  return models;
}

/** A job's beginning or end: a line for people, or of JSON. */
function tell(event: FleetEvent, json: boolean, progress: Progress, { stdout }: Outside): void {
  const { type, id, picture, ms, error } = event;
  const known = error instanceof PentimentoError ? error : undefined;
  if (json) {
    const time = new Date().toISOString();
    stdout.write(
      `${JSON.stringify({ version: 1, time, type, id, picture, ms, error: known?.toJSON() ?? messageOf(error) })}\n`,
    );
  }
  if (type === 'begun') return;
  const why = error === undefined ? '' : `: ${known ? inCommandWords(known, 'worker') : messageOf(error)}`;
  const taken = ms === undefined ? '' : `, ${(ms / 1000).toFixed(1)} s`;
  progress.note(`${type}: ${id.slice(0, 12)} ${picture}${taken}${why}`);
}

function messageOf(error: unknown): string | undefined {
  return error === undefined ? undefined : error instanceof Error ? error.message : String(error);
}

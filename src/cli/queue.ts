/** `pentimento queue`: what waits, what failed and why; failed jobs are tried again on request. */
import { Command } from 'commander';
import type { Outside } from './command.ts';
import { addQueueOptions, type QueueOptionsTyped } from './fleet-options.ts';

interface StatusOptions extends QueueOptionsTyped {
  readonly retry?: boolean;
  readonly json?: boolean;
}

/** The command with all its options. */
export function queueCommand(outside: Outside): Command {
  return addQueueOptions(new Command('queue').description('Tell what waits in a queue, what failed, and why.'))
    .option('--retry', 'let all failed jobs wait once more, those that were parked too')
    .option('--json', 'print the result as JSON on stdout')
    .action((o: StatusOptions) => tell(o, outside));
}

async function tell(o: StatusOptions, { stdout }: Outside): Promise<void> {
  const { openQueue } = await import('../queue/index.ts');
  const queue = await openQueue({ queue: o.queue, redis: o.redis });
  try {
    const retried = o.retry ? await queue.retry() : [];
    const [models, failed] = [await queue.status(), await queue.failed()];
    if (o.json) {
      stdout.write(
        `${JSON.stringify({ version: 1, command: 'queue', queue: o.queue, models, failed, retried }, null, 2)}\n`,
      );
      return;
    }
    if (models.length === 0) stdout.write('no jobs\n');
    for (const { id, key, jobs } of models) {
      const counts = Object.entries(jobs).map(([state, count]) => `${count} ${state}`);
      stdout.write(`${id}, key ${key}: ${counts.join(', ')}\n`);
    }
    for (const { id, picture, reason, parked } of failed)
      stdout.write(`${parked ? 'parked' : 'failed'}: ${id} ${picture}: ${reason}\n`);
    if (retried.length > 0) stdout.write(`${retried.length} wait once more\n`);
  } finally {
    await queue.close();
  }
}

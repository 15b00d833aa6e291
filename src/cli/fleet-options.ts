/** Options of the commands that know a queue. */
import { type Command, InvalidArgumentError, Option } from 'commander';

/** Which queue, and where. */
export interface QueueOptionsTyped {
  readonly queue: string;
  readonly redis?: string;
}

/** Adds the queue's name and its server. */
export function addQueueOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--queue <name>', 'the fleet: letters, digits, - and _').argParser(parseName).makeOptionMandatory(),
    )
    .option(
      '--redis <url>',
      'Valkey or Redis, such as rediss://user:password@host:6380 (default: PENTIMENTO_REDIS_URL, which no list of processes shows, else redis://127.0.0.1:6379)',
    );
}

function parseName(text: string): string {
  if (/^[\w-]{1,100}$/.test(text)) return text;
  throw new InvalidArgumentError('Give letters, digits, - and _.');
}

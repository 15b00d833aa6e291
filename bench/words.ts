/** Words of a benchmark's command line, of which a wrong one is told in a line. */
import process from 'node:process';
import { type ParseArgsConfig, parseArgs } from 'node:util';

/** Ends the process with a line on stderr. */
export function refuse(problem: string): never {
  process.stderr.write(`bench: ${problem}\n`);
  process.exit(2);
}

/** The options that were given; an unknown one, or one without its value, ends the process. */
export function parseOptions<const O extends NonNullable<ParseArgsConfig['options']>>(options: O) {
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error));
  }
}

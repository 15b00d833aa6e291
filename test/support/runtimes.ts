/** Deno and Bun, as scripts/runtimes.mjs fetches them, in the project of a packed package. */
import { execFile } from 'node:child_process';
import { copyFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
// @ts-expect-error plain Node, without types
import { fetchRuntimes, VERSIONS } from '../../scripts/runtimes.mjs';
import { ownDrivers } from './firefox.ts';
import { patience } from './patience.ts';
import { type Installed, installTarball, ROOT } from './tarball.ts';

/** What is fetched, exactly, by package. */
export const RUNTIME_VERSIONS: Readonly<Record<'deno' | 'bun' | 'bun-webgpu', string>> = VERSIONS;

/** What a program left, and why it failed. */
interface Ended {
  readonly error: Error | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A project with the packed package, in which a runtime runs the scripts of test/runtimes. */
export interface RuntimeProject {
  /** Runs a script of test/runtimes with these arguments; `flags` are the runtime's, in Deno what the script may do. */
  run(script: string, args: readonly string[], flags?: readonly string[]): Promise<Ended>;
  /** Lays a script of test/runtimes beside those that are run. */
  bring(script: string): void;
  /** Adds a package that was fetched with the runtimes. */
  add(name: string): void;
  /** Takes a package away. */
  drop(name: string): void;
  remove(): void;
}

export function projectOf(runtime: 'deno' | 'bun'): RuntimeProject {
  const { packages, ...programs }: Record<'packages' | 'deno' | 'bun', string> = fetchRuntimes();
  const { project, remove }: Installed = installTarball();
  const place = (name: string) => join(project, 'node_modules', name);
  writeFileSync(join(project, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  // In the project, so that packages are found from it.
  const bring = (script: string) => copyFileSync(join(ROOT, 'test/runtimes', script), join(project, script));
  return {
    bring,
    run(script, args, flags = []) {
      bring(script);
      const before = runtime === 'deno' ? ['run', '--no-prompt', ...flags] : flags;
      const env = { XDG_RUNTIME_DIR: '/tmp', ...ownDrivers(), NO_COLOR: '1' };
      const options = { cwd: project, env, encoding: 'utf8', timeout: patience(), maxBuffer: 2 ** 26 } as const;
      return new Promise(resolve => {
        execFile(programs[runtime], [...before, script, ...args], options, (error, stdout, stderr) =>
          resolve({ error, stdout, stderr }),
        );
      });
    },
    add: name => symlinkSync(join(packages, name), place(name)),
    drop: name => rmSync(place(name)),
    remove,
  };
}

/** What a script printed as JSON; a runtime that ends with an error fails the test with its words. */
export async function answerOf<T>(ended: Promise<Ended>): Promise<T> {
  const { error, stdout, stderr } = await ended;
  if (error) throw new Error(`${error.message.split('\n')[0]}\n${stderr}\n${stdout.slice(0, 1000)}`);
  return JSON.parse(stdout);
}

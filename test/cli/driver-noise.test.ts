/** The bin passes on what native code prints, except the two lines of Dawn that say nothing. */
import { execFile } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { NoiseFilter, runInChild } from '../../src/cli/driver-noise.ts';

const LINE =
  'Warning: maxDynamicUniformBuffersPerPipelineLayout artificially reduced from 500000 to 16 to fit dynamic offset allocation limit.\n';

function bin(args: readonly string[], env: Record<string, string> = {}) {
  const whole = ['--import', './test/support/run-typescript.mjs', 'src/cli/main.ts', ...args];
  return new Promise<{ code: unknown; stdout: string; stderr: string }>(done =>
    execFile(process.execPath, whole, { env: { ...process.env, ...env } }, (error, stdout, stderr) =>
      done({ code: error?.code ?? 0, stdout, stderr }),
    ),
  );
}

describe('the bin', () => {
  it('prints nothing but its own words in front of a command', async () => {
    const { code, stdout, stderr } = await bin(['devices']);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).not.toBe('');
  });

  it('passes on what else native code has to say', async () => {
    const { code, stderr } = await bin(['devices'], { VK_LOADER_DEBUG: 'all' });
    expect(code).toBe(0);
    expect(stderr).toMatch(/vulkan|icd/i);
    expect(stderr).not.toContain('artificially reduced');
  });

  it('ends with the code of the command, after its message', async () => {
    const { code, stdout, stderr } = await bin(['edit', 'no-such-file.png', '--source', 'a', '--target', 'b']);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^error: .*no-such-file\.png.*\n$/);
  });

  it.each(['terminal', 'pipe'])('is not fooled by a variable that says %s and was inherited', async said => {
    const { code, stderr } = await bin(['edit'], { PENTIMENTO_CHILD: said });
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error: required option .*\n$/);
  });
});

it.each([
  ['refuses to start one', () => process.execArgv.push('\0')],
  ['finds no program for it', () => Object.assign(process, { execPath: '/no/such/node' })],
])('where the system %s, there is no child, and the bin does the work itself', async (_, spoil) => {
  const { execPath } = process;
  const given = process.execArgv.length;
  try {
    spoil();
    expect(await runInChild()).toBeUndefined();
  } finally {
    process.execArgv.length = given;
    process.execPath = execPath;
  }
});

describe('the filter', () => {
  it.each([1, 2, 7, 40, 1000])('takes the lines out of text in pieces of %i characters', size => {
    const text = `one\n${LINE}two\n${LINE}${LINE}Warning: maxDynamic is a word\nthree`;
    const filter = new NoiseFilter();
    let seen = '';
    for (let i = 0; i < text.length; i += size) seen += filter.push(text.slice(i, i + size));
    expect(seen + filter.end()).toBe('one\ntwo\nWarning: maxDynamic is a word\nthree');
  });

  it('holds back only what may become such a line', () => {
    const filter = new NoiseFilter();
    expect(filter.push('step 3')).toBe('step 3');
    expect(filter.push('\nWarn')).toBe('\n');
    expect(filter.push('ing: disk full')).toBe('Warning: disk full');
    expect(filter.push(`\n${LINE.slice(0, -1)}`)).toBe('\n');
    expect(filter.end()).toBe('');
  });
});

/** The compose file of examples/fleet: its commands are ours, with options that there are. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { pentimento } from '../support/command.ts';

it('the example starts workers by options that the command has, keeps the password from them, and gives them time to end', async () => {
  const { services } = parse(readFileSync('examples/fleet/compose.yaml', 'utf8'), { merge: true });
  const { stdout } = await pentimento(['worker', '--help']);
  const workers = Object.entries<Record<string, unknown>>(services).filter(([name]) => name.startsWith('worker'));
  expect(workers).toHaveLength(2);
  for (const [, { command, environment, stop_grace_period: grace }] of workers) {
    const [program, name, ...args] = String(command).trim().split(/\s+/);
    expect([program, name]).toEqual(['pentimento', 'worker']);
    for (const option of args.filter(arg => arg.startsWith('--'))) expect(stdout, option).toContain(option);
    expect(String(command)).not.toMatch(/redis|PASSWORD/);
    expect((environment as Record<string, string>)['PENTIMENTO_REDIS_URL']).toMatch(
      /^redis:\/\/:\$\{QUEUE_PASSWORD\}@valkey:6379$/,
    );
    expect(Number.parseInt(String(grace), 10)).toBeGreaterThan(30);
  }
  const devices = workers.map(
    ([, { environment }]) => (environment as Record<string, string>)['NVIDIA_VISIBLE_DEVICES'],
  );
  expect(devices).toEqual(['0', '1']);
  expect(services.valkey.command).toContain('--appendonly yes --appendfsync always');
});

/** `pentimento devices`: what adapters there are and what the engine would use of them. */
import { Command } from 'commander';
import { type AdapterDescription, listAdapters } from '../node/device.ts';
import { type Outside, print } from './command.ts';

const USED = ['shader-f16', 'subgroups', 'timestamp-query'];

/** The command with its option. */
export function devicesCommand(outside: Outside): Command {
  return new Command('devices')
    .description('List the adapters that --device can name.')
    .option('--json', 'print everything as JSON on stdout')
    .action(async (o: { json?: boolean }) => {
      const adapters = await listAdapters();
      if (o.json) print(outside, true, { files: {}, adapters: adapters.map(plain) });
      else for (const adapter of adapters) outside.stdout.write(`${describe(adapter)}\n`);
    });
}

function plain({ name, backend, info, features, limits }: AdapterDescription): Record<string, unknown> {
  const { vendor, architecture, device, description, subgroupMinSize, subgroupMaxSize } = info;
  const { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize } = limits;
  return {
    name,
    backend,
    info: { vendor, architecture, device, description, subgroupMinSize, subgroupMaxSize },
    features,
    limits: { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize },
  };
}

function describe(a: AdapterDescription): string {
  const mib = (bytes: number): string => `${Math.floor(bytes / 2 ** 20)} MiB`;
  const has = USED.map(feature => `${a.features.includes(feature) ? '' : 'no '}${feature}`).join(', ');
  const lanes =
    a.info.subgroupMinSize === undefined ? '' : `, ${a.info.subgroupMinSize} to ${a.info.subgroupMaxSize} lanes`;
  return `${a.name}
  ${a.backend}, ${[a.info.vendor, a.info.architecture].filter(Boolean).join(' ')}: ${a.info.description}
  ${has}${lanes}
  buffers up to ${mib(a.limits.maxBufferSize)}, bindings up to ${mib(a.limits.maxStorageBufferBindingSize)}`;
}

import { multiplyAdds } from './listing/counts.ts';
import { readListing } from './listing/read.ts';
import { readFileSync } from 'node:fs';
const [maker, ...files] = process.argv.slice(2);
for (const f of files) { const l = readListing(maker as any, readFileSync(f, 'utf8')); console.log(f);
 for (const p of l!.loops) console.log('  ', p.label, 'inner', p.inner.map(i=>i.label).join(','), 'MAC', multiplyAdds(p.own, 32), 'vec', p.own.vector, 'loads', p.own.globalLoads, 'times', p.times, 'cycles', p.own.cycles, p===l!.main?'MAIN':''); }

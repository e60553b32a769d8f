// A greedy completion of a forced length by llama.cpp: usage: decode_gguf.mjs --gguf FILE [--tokens N]
//
// The packages are those of the folder PEERS, which `peers.sh` fills.

import { createRequire } from "node:module";
import { join } from "node:path";
import readline from "node:readline";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const { values: args } = parseArgs({
    options: {
        gguf: { type: "string" },
        // Ours takes its tokenizer from there.
        model: { type: "string" },
        tokens: { type: "string", default: "64" },
    },
});
const newTokens = Number(args.tokens);
const threads = Number(process.env.BENCH_THREADS ?? "2");

// The question of `src/inputs.rs`.
const prompt = [
    1, 4093, 198, 36971, 281, 2232, 1924, 1701, 260, 6376, 314, 4461, 28, 284, 1701, 357, 314, 2382, 281, 260, 9053, 30, 2, 198, 1, 520, 9531, 198,
];

const start = performance.now();
const package_ = createRequire(join(process.env.PEERS, "package.json")).resolve("node-llama-cpp");
const { getLlama } = await import(pathToFileURL(package_));
const llama = await getLlama({ gpu: false, build: "never", maxThreads: threads, progressLogs: false });
const model = await llama.loadModel({ modelPath: args.gguf });
const context = await model.createContext({
    contextSize: prompt.length + newTokens, threads: { ideal: threads, min: threads },
});
const sequence = context.getSequence();
console.log(JSON.stringify({ ready: true, seconds: (performance.now() - start) / 1000 }));

async function round() {
    await sequence.clearHistory();
    const drawn = [];
    for await (const next of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
        drawn.push(next);
        if (drawn.length === newTokens) break;
    }
    return drawn;
}

for await (const _ of readline.createInterface({ input: process.stdin })) {
    const [begin, before] = [performance.now(), process.cpuUsage()];
    const outputs = await round();
    const seconds = (performance.now() - begin) / 1000;
    const { user, system } = process.cpuUsage(before);
    const peak_bytes = process.resourceUsage().maxRSS * 1024;
    console.log(JSON.stringify({ seconds, cpu: (user + system) / 1e6, outputs, peak_bytes }));
}
process.exit(0);

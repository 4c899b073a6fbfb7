// Reads a list of simulations (see @cloud-copilot/iam-simulate) on standard input, prints a list of verdicts: "Allowed",
// "ImplicitlyDenied" or "ExplicitlyDenied". What cannot be simulated, or not as it was asked, ends it.
import { readFileSync } from 'node:fs'
import { anonymousPrincipal, runSimulation } from '@cloud-copilot/iam-simulate'

const verdicts = []
for (const simulation of JSON.parse(readFileSync(0, 'utf8'))) {
  if (simulation.request.principal === null) simulation.request.principal = anonymousPrincipal
  const ran = await runSimulation(simulation, {})
  if (ran.resultType !== 'single') {
    throw new Error(`${JSON.stringify(simulation.request)}: ${JSON.stringify(ran.errors ?? ran)}`)
  }
  const ignored = ran.result.ignoredContextKeys
  if (ignored?.length) throw new Error(`${JSON.stringify(simulation.request)}: ignored ${ignored}`)
  verdicts.push(ran.overallResult)
}
console.log(JSON.stringify(verdicts))

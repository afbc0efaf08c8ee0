import { simulatePart } from './seeds.ts'

simulatePart(2, 'test/simulation/part-1.test.ts')

// SPDX-License-Identifier: Apache-2.0
// What a game does with examples/bindings/Qcmp.cs: Unity.exe SITE...
using System;
using System.Linq;
using System.Threading;

internal static class Unity
{
    private static int Main(string[] words)
    {
        try
        {
            Qcmp.Ping.Parse("no address");
            return 3;
        }
        catch (Qcmp.QcmpException error)
        {
            if (error.Number != -5 || error.Message != "invalid argument")
                return 4;
        }
        var sites = words.Select(word => Qcmp.Ping.Parse(word)).ToArray();
        if (Qcmp.Ping.Measure(sites[0], TimeSpan.FromSeconds(2)).RttNs <= 0)
            return 5;
        using (var survey = new Qcmp.Survey(sites))
        {
            while (survey.Step())
                Thread.Sleep(5);
            bool certain;
            int best = survey.Best(out certain);
            if (best < 0)
                return 1;
            var result = survey.Result(best);
            Console.WriteLine("{0} is the best, of {1} answers, certain: {2}", words[best], result.Answered, certain);
            return result.Answered >= 8 && result.MedianNs > 0 && certain ? 0 : 6;
        }
    }
}

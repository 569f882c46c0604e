"""What `appliance.pyz` does before the appliance: look at the machine, unpack, go.

Must not know the appliance, nor use anything but the standard library and shiv's part of the file. It is packed beside
shiv's own start, whose place it takes: that one unpacks before anything is checked, and for good.
"""
